/**
 * How work grows with the length of a text: about 1 when it is linear, `factor` when it is quadratic. Compares the fastest of
 * several runs over `length` characters and over a `factor` of it, as often as it looks steep: a busy machine may slow down
 * any one measurement, but what is steep is so in each. 0 when the long text takes no time to speak of.
 */
export function growthOf(
  prepare: (length: number) => () => unknown,
  { length = 1_000_000, factor = 20 }: { length?: number; factor?: number } = {},
): number {
  const long = prepare(length)
  const first = fastest(long, 1)
  if (first < measurable) return 0
  const short = prepare(length / factor)
  let growth = Number.POSITIVE_INFINITY
  // The first runs are not compiled yet.
  for (let measurement = 0; measurement < 5 && growth > 3; measurement++) {
    const time = measurement === 0 ? first : fastest(long, 2)
    growth = Math.min(growth, time / Math.max(0.5, fastest(short, 5)) / factor)
  }
  return growth
}

/** How long work must take, in milliseconds, for a comparison to tell something. */
const measurable = 20

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
