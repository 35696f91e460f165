import { significant, UNKNOWN } from "../../parts/format";
import { intervalText } from "../run/interval";
import { shortConditions } from "../run/resultRows";
import type { Figure } from "../run/runQueries";
import type { Side } from "./compare";
import { type Better, numberRow, type Row } from "./row";

/** Rates, of which more is better. Of any other unit it depends on what is measured. */
const RATES = new Set(["images/s", "GB/s", "MB/s", "TFLOPS", "TOPS", "img/J"]);
const TIMES = new Set(["s", "ms", "us", "µs"]);

/** What runs measured beside their result, each figure with the same one of the others: same name, GPU and conditions. */
export function furtherRows(sides: Side[]): Row[] {
  const columns = sides.map(
    ({ figures }) => new Map((figures ?? []).map((one) => [keyOf(one), one])),
  );
  const keys = new Set(columns.flatMap((column) => [...column.keys()]));
  return [...keys].map((key) => {
    const cells = columns.map((column) => column.get(key));
    const unit = cells.find((figure) => figure !== undefined)?.unit ?? "";
    return numberRow({
      name: key,
      values: cells.map((figure) => figure?.value ?? null),
      format: (value) => (value === null ? UNKNOWN : `${significant(value)} ${unit}`.trim()),
      notes: cells.map((figure) =>
        figure ? intervalText(figure.value, figure.low, figure.high) : "",
      ),
      better: betterOf(unit),
    });
  });
}

function keyOf(figure: Figure): string {
  const gpu = figure.gpu_index === null ? "" : `, GPU ${figure.gpu_index}`;
  const conditions = shortConditions(figure);
  return `${figure.name.replaceAll("_", " ")}${gpu}${conditions && ` (${conditions})`}`;
}

function betterOf(unit: string): Better {
  return RATES.has(unit) ? "high" : TIMES.has(unit) ? "low" : null;
}
