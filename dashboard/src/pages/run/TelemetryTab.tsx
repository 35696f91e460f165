import { Skeleton, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { duration, number, significant } from "../../parts/format";
import { ReadFault } from "../../parts/ReadFault";
import { type Telemetry, telemetryQuery } from "./runQueries";

/** What the readings of each GPU come to over the whole measurement. */
export function TelemetryTab({ runId }: { runId: string }) {
  const telemetry = useQuery(telemetryQuery(runId));
  const { data } = telemetry;
  if (!data) return telemetry.error ? <ReadFault of={telemetry} /> : <Skeleton h={160} />;
  if (data.length === 0)
    return (
      <Text size="sm" c="dimmed">
        No readings are stored: the run has not ended with a result, or its machine has no NVML.
      </Text>
    );
  return (
    <Stack>
      <ReadFault of={telemetry} />
      {data.map((gpu) => (
        <OneGpu key={gpu.gpu_index} gpu={gpu} />
      ))}
    </Stack>
  );
}

const UNITS: [ending: string, unit: string][] = [
  ["_watts", "W"],
  ["_celsius", "°C"],
  ["_mhz", "MHz"],
  ["_percent", "%"],
  ["_gb", "GiB"],
  ["_joules", "J"],
  ["_mb_per_sec", "MB/s"],
];

function OneGpu({ gpu }: { gpu: Telemetry }) {
  const label = `GPU ${gpu.gpu_index}`;
  return (
    <div>
      <Title order={3} size="h6">
        {label}
      </Title>
      <Text size="xs" c="dimmed" mb="xs">
        {number(gpu.readings)} readings, one every {duration(gpu.interval_seconds)}
        {gpu.gpu_uuid && `, ${gpu.gpu_uuid}`}
      </Text>
      <Table.ScrollContainer minWidth={480}>
        <Table verticalSpacing={4} maw={760} aria-label={`Readings of ${label}`}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Reading</Table.Th>
              {["Lowest", "Mean", "95th percentile", "Highest", "Unit"].map((name) => (
                <Table.Th key={name} ta={name === "Unit" ? "left" : "right"}>
                  {name}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {Object.entries(gpu.rollup).map(([column, rollup]) => {
              const [name, unit] = named(column);
              return (
                <Table.Tr key={column}>
                  <Table.Th scope="row" fw={500}>
                    {name}
                  </Table.Th>
                  {(["min", "mean", "p95", "max"] as const).map((each) => (
                    <Table.Td key={each} ta="right">
                      {significant(rollup[each])}
                    </Table.Td>
                  ))}
                  <Table.Td>{unit}</Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </div>
  );
}

/** `power_watts` is power in W. */
function named(column: string): [name: string, unit: string] {
  const [ending = "", unit = ""] = UNITS.find(([each]) => column.endsWith(each)) ?? [];
  return [column.slice(0, column.length - ending.length).replaceAll("_", " "), unit];
}
