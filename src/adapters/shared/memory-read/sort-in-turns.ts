import { EventLoopTurns } from '../../../adapter.js'

/** How many items are sorted or merged between two checks of the time. */
const chunkLength = 2048

const turns = new EventLoopTurns({ longest: 10 })

/** Sorts items, and yields to the event loop in between when that takes long. Equal items stay in their order. */
export async function sortInTurns<Item>(
  items: readonly Item[],
  compare: (one: Item, other: Item) => number,
): Promise<Item[]> {
  let runs: Item[][] = []
  for (let start = 0; start < items.length; start += chunkLength) {
    runs.push(items.slice(start, start + chunkLength).sort(compare))
    await turns.pass()
  }
  while (runs.length > 1) {
    const merged: Item[][] = []
    for (let n = 0; n < runs.length; n += 2) merged.push(await merge(runs[n] as Item[], runs[n + 1] ?? [], compare))
    runs = merged
  }
  return runs[0] ?? []
}

async function merge<Item>(
  one: readonly Item[],
  other: readonly Item[],
  compare: (one: Item, other: Item) => number,
): Promise<Item[]> {
  const merged: Item[] = []
  let [first, second] = [0, 0]
  while (first < one.length || second < other.length) {
    const takesFirst =
      second === other.length || (first < one.length && compare(one[first] as Item, other[second] as Item) <= 0)
    merged.push((takesFirst ? one[first++] : other[second++]) as Item)
    if (merged.length % chunkLength === 0) await turns.pass()
  }
  return merged
}
