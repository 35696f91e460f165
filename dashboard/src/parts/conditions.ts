interface Conditions {
  profile: string | null;
  precision: string | null;
  batch_size: number | null;
  image_size: number | null;
}

/** What sets a configuration apart, for people: `quick, amp-bf16, batch 32, 224 px`. */
export function conditionsOf(measured: Conditions): string {
  const parts = [
    measured.profile,
    measured.precision,
    measured.batch_size === null ? null : `batch ${measured.batch_size}`,
    measured.image_size === null ? null : `${measured.image_size} px`,
  ].filter((part) => part !== null);
  return parts.join(", ") || "conditions not told";
}
