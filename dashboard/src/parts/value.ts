const SECONDS = 3600;

/**
 * Images that a dollar buys. The price is of the whole instance, so all of its GPUs count, each as fast as the one
 * that was measured.
 */
export function imagesForADollar(
  rate: number | null,
  gpus: number | null,
  pricePerHour: number | null,
): number | null {
  if (rate === null || pricePerHour === null || pricePerHour <= 0) return null;
  return (rate * Math.max(1, gpus ?? 1) * SECONDS) / pricePerHour;
}
