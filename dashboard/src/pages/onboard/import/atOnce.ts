/**
 * Does `work` for each item, at most `most` at the same time. It is for `work` to keep its failures; one that it
 * throws ends that lane's turn and is thrown once the others are done. `stopped` ends it after what is under way.
 */
export async function atOnce<Item>(
  items: readonly Item[],
  most: number,
  work: (item: Item) => Promise<void>,
  stopped: () => boolean = () => false,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length && !stopped()) {
      const item = items[next++] as Item;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, lane));
}
