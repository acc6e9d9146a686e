/**
 * How work grows with the length of a text: about 1 when it is linear, 20 when it is quadratic. It compares the fastest of
 * several runs over 1 MB and over 50 kB. `prepare` makes the work for a text of so many characters.
 */
export function growthOf(prepare: (length: number) => () => unknown): number {
  const [short, long] = [prepare(50_000), prepare(1_000_000)]
  let growth = Number.POSITIVE_INFINITY
  // Another process may be in the way of one of them, and not of all.
  for (let measure = 0; measure < 4 && growth > 2; measure++) {
    growth = Math.min(growth, fastest(long, 2) / Math.max(0.1, fastest(short, 10)) / 20)
  }
  return growth
}

function fastest(work: () => unknown, runs: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs; run++) {
    const begun = performance.now()
    work()
    best = Math.min(best, performance.now() - begun)
  }
  return best
}
