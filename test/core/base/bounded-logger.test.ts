import { JobRegistry, type Logger, memoryStorage } from 'headgate'
import { type FakeClock, fakeClock } from 'headgate/testing'
import { describe, expect, it } from 'vitest'

interface Line {
  level: keyof Logger
  message: string
  suppressed?: number
}

function recorder(): { logger: Logger; lines: Line[] } {
  const lines: Line[] = []
  const of = (level: keyof Logger) => (details: object, message: string) =>
    void lines.push({ ...(details as { suppressed?: number }), level, message })
  return { lines, logger: { debug: of('debug'), info: of('info'), warn: of('warn'), error: of('error') } }
}

/** A registry whose dispatcher warns as often as one likes. */
function warner(clock: FakeClock): { warn(message: string): void; warnings(): Line[]; lines: Line[] } {
  const { logger, lines } = recorder()
  let warn: (error: unknown, message: string) => void = () => {}
  const none = async () => false
  new JobRegistry({
    storage: memoryStorage({ clock }),
    clock,
    logger,
    dispatcher: {
      isShared: false,
      work: (worker) => {
        warn = worker.warn
      },
      add: async () => {},
      remove: none,
      move: none,
      waiting: async () => ({ total: 0, hits: [] }),
    },
  })
  const warnings = () => lines.filter(({ level }) => level === 'warn')
  return { lines, warnings, warn: (message) => warn(new Error('away'), message) }
}

describe('warnings of a registry', () => {
  it('come at a bounded rate, with the number of those that were suppressed', async () => {
    const clock = fakeClock()
    const { warn, warnings } = warner(clock)
    for (let n = 0; n < 1000; n++) warn('The line [headgate] had an error.')
    expect(warnings()).toHaveLength(20)
    await clock.advance(10_000)
    expect(warnings()).toHaveLength(21)
    expect(warnings().at(-1)).toMatchObject({ error: ['away'], suppressed: 980 })
    for (let n = 0; n < 1000; n++) warn('The line [headgate] had an error.')
    expect(warnings()).toHaveLength(21)
    await clock.advance(10_000)
    expect(warnings()).toHaveLength(22)
    expect(warnings().at(-1)).toMatchObject({ suppressed: 1000 })
  })

  it('come at that rate also when each comes after the one before, and never too many at once', async () => {
    const clock = fakeClock()
    const { warn, warnings } = warner(clock)
    for (let n = 0; n < 200; n++) {
      warn('Could not look.')
      await clock.advance(500)
    }
    expect(warnings().length).toBeLessThanOrEqual(20 + 100_000 / 10_000)
  })

  it('are counted by kind, whatever job they name, and one kind does not hide another', async () => {
    const clock = fakeClock()
    const { warn, warnings } = warner(clock)
    for (let n = 0; n < 500; n++) warn(`Job [test/${n}] could not be saved.`)
    warn('The storage is away.')
    expect(warnings()).toHaveLength(21)
    expect(warnings().at(-1)?.message).toBe('The storage is away.')
  })

  it('are logged at once again when it was quiet', async () => {
    const clock = fakeClock()
    const { warn, warnings } = warner(clock)
    for (let n = 0; n < 25; n++) warn('Again.')
    await clock.advance(25_000)
    expect(warnings()).toHaveLength(21)
    for (let n = 0; n < 25; n++) warn('Again.')
    expect(warnings()).toHaveLength(41)
    expect(warnings().filter(({ suppressed }) => suppressed !== undefined)).toHaveLength(1)
  })

  it('of names without end take bounded time and memory', () => {
    const clock = fakeClock()
    const { warn } = warner(clock)
    const timeOf = (from: number) => {
      const begun = performance.now()
      for (let n = from; n < from + 2000; n++) warn(`${n} ${'['.repeat(1000)}`)
      return performance.now() - begun
    }
    const times = Array.from({ length: 10 }, (_, round) => timeOf(round * 2000))
    // With every name kept, each one would cost more than the one before.
    expect(Math.min(...times.slice(5))).toBeLessThan(3 * Math.min(...times.slice(0, 5)))
  })
})
