interface Props {
  values: number[];
  label: string;
  width?: number;
  height?: number;
}

/** A word-sized line of figures, oldest first; a few dozen bytes of SVG, for thousands of rows. */
export function Sparkline({ values, label, width = 84, height = 24 }: Props) {
  if (values.length < 2) return null;
  const low = Math.min(...values);
  const high = Math.max(...values);
  // A steady machine draws a flat line: a range below 2 % of the value is not stretched to the full height.
  const range = Math.max(high - low, high * 0.02) || 1;
  const middle = (high + low) / 2;
  const points = values.map((value, index) => {
    const x = 2 + (index * (width - 4)) / (values.length - 1);
    const y = height / 2 - ((value - middle) / range) * (height - 6);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const [lastX, lastY] = (points.at(-1) ?? "0,0").split(",");
  return (
    <svg width={width} height={height} role="img" aria-label={label}>
      <polyline
        points={points.join(" ")}
        fill="none"
        stroke="var(--mantine-color-anchor)"
        strokeWidth={1.5}
        strokeLinejoin="round"
      />
      <circle cx={lastX} cy={lastY} r={2.2} fill="var(--mantine-color-anchor)" />
    </svg>
  );
}
