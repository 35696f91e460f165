import { Skeleton, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { significant } from "../../parts/format";
import { ReadFault } from "../../parts/ReadFault";
import { textOf } from "./event";
import { intervalText } from "./interval";
import { shortConditions } from "./resultRows";
import { type Figure, figuresQuery } from "./runQueries";

/** Every figure of the run, each with its own conditions. */
export function FiguresTab({ runId }: { runId: string }) {
  const figures = useQuery(figuresQuery(runId));
  const { data } = figures;
  if (!data) return figures.error ? <ReadFault of={figures} /> : <Skeleton h={160} />;
  if (data.length === 0)
    return (
      <Text size="sm" c="dimmed">
        No further figures were measured: the profiles standard and full measure more.
      </Text>
    );
  return (
    <>
      <ReadFault of={figures} />
      <Table.ScrollContainer minWidth={620}>
        <Table verticalSpacing={6} stickyHeader>
          <Table.Caption style={{ display: "none" }}>Figures of this run</Table.Caption>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Figure</Table.Th>
              <Table.Th>GPU</Table.Th>
              <Table.Th ta="right">Value</Table.Th>
              <Table.Th>95% interval</Table.Th>
              <Table.Th>Conditions</Table.Th>
              <Table.Th>Configuration</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {data.map((figure) => (
              <FigureLine
                key={`${figure.name} ${figure.gpu_index} ${figure.configuration_hash}`}
                figure={figure}
              />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </>
  );
}

function FigureLine({ figure }: { figure: Figure }) {
  const { name, gpu_index: gpu, value, unit, low, high } = figure;
  return (
    <Table.Tr>
      <Table.Th scope="row" fw={500}>
        {name.replaceAll("_", " ")}
      </Table.Th>
      <Table.Td>{gpu ?? "all"}</Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
        {value === null ? "not measured" : `${significant(value)} ${unit}`}
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        {value === null ? textOf(figure.detail.error) : intervalText(value, low, high)}
      </Table.Td>
      <Table.Td>{shortConditions(figure)}</Table.Td>
      <Table.Td ff="monospace" fz="xs">
        {figure.configuration_hash}
      </Table.Td>
    </Table.Tr>
  );
}
