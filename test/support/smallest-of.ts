/** The smallest of several measurements, up to one that is small enough: a busy machine spoils some of them, but not all. */
export async function smallestOf(enough: number, measure: () => Promise<number>, attempts = 5): Promise<number> {
  let smallest = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < attempts && smallest >= enough; attempt++) {
    smallest = Math.min(smallest, await measure())
  }
  return smallest
}
