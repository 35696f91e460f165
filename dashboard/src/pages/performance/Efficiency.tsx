import { SegmentedControl, Table } from "@mantine/core";
import { useMemo, useState } from "react";
import { dollarsPerHour, number, UNKNOWN, watts } from "../../parts/format";
import { Section } from "../../parts/Section";
import { imagesPerDollar, imagesPerJoule, type Machine, rank } from "./cohorts";
import { NameCell, SpeedCell } from "./MachineCells";
import { useShown } from "./useShown";

const FIGURES = {
  joule: {
    label: "Images per joule",
    short: "Per joule",
    of: imagesPerJoule,
    formula: "Images per joule = images/s ÷ W, both of the GPU that was measured.",
    missing: "whose power was not measured",
  },
  dollar: {
    label: "Images per dollar",
    short: "Per dollar",
    of: imagesPerDollar,
    formula:
      "Images per dollar = images/s × GPUs × 3,600 ÷ price per hour of the whole instance, each GPU taken to be as fast as the one that was measured.",
    missing: "without a price",
  },
};
type Figure = keyof typeof FIGURES;

export function Efficiency({ machines }: { machines: Machine[] }) {
  const [by, setBy] = useState<Figure>("joule");
  const figure = FIGURES[by];
  const { ranked, leftOut } = useMemo(() => rank(machines, figure.of), [machines, figure]);
  const [shown, more] = useShown(ranked);
  return (
    <Section
      title="Efficiency"
      text={`${figure.formula} ${leftOut > 0 ? `Left out: ${number(leftOut)} ${figure.missing}.` : ""}`}
      action={
        <SegmentedControl
          data={Object.entries(FIGURES).map(([value, { short }]) => ({ value, label: short }))}
          value={by}
          onChange={(value) => setBy(value as Figure)}
          aria-label="Figure to rank by"
        />
      }
    >
      <Table.ScrollContainer minWidth={720}>
        <Table
          verticalSpacing={4}
          aria-label={`Instances by ${figure.label.toLowerCase()}, best first`}
        >
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Instance</Table.Th>
              <Table.Th ta="right">Images/s</Table.Th>
              <Table.Th ta="right">Power</Table.Th>
              <Table.Th ta="right">Images per joule</Table.Th>
              <Table.Th ta="right">GPUs</Table.Th>
              <Table.Th ta="right">Price</Table.Th>
              <Table.Th ta="right">Images per dollar</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.map(({ machine }) => (
              <Table.Tr key={machine.row.id}>
                <NameCell id={machine.row.id} name={machine.row.name} gpu={machine.gpu} />
                <SpeedCell machine={machine} />
                <Table.Td ta="right">{watts(machine.latest.power_draw_watts)}</Table.Td>
                <Table.Td ta="right" fw={by === "joule" ? 650 : undefined}>
                  {imagesPerJoule(machine)?.toFixed(2) ?? UNKNOWN}
                </Table.Td>
                <Table.Td ta="right">{number(machine.row.gpu_count)}</Table.Td>
                <Table.Td ta="right">{dollarsPerHour(machine.row.price_per_hour)}</Table.Td>
                <Table.Td ta="right" fw={by === "dollar" ? 650 : undefined}>
                  {number(imagesPerDollar(machine))}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more}
    </Section>
  );
}
