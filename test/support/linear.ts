/**
 * How work grows with the length of a text: about 1 when it is linear, 20 when it is quadratic. It compares the fastest of
 * several runs over 1 MB and over 50 kB. `prepare` makes the work for a text of so many characters.
 */
export function growthOf(prepare: (length: number) => () => unknown): number {
  const [short, long] = [prepare(50_000), prepare(1_000_000)]
  let growth = Number.POSITIVE_INFINITY
  // The first runs are not compiled yet.
  for (let measure = 0; measure < 5 && growth > 3; measure++) {
    growth = Math.min(growth, fastest(long, 2) / Math.max(0.3, fastest(short, 20)) / 20)
  }
  return growth
}

function fastest(work: () => unknown, runs: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs; run++) {
    // What other processes do meanwhile does not count.
    const begun = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(begun)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}
