import { type JobContext, JobRegistry, memoryStorage } from 'headgate'
import { redact } from 'headgate/adapter'
import { iterableDatasource } from 'headgate/iterable'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { toProgress } from '../../../src/core/model/job.js'
import { redactorOf } from '../../../src/core/redaction/index.js'

/** What nobody has handled since. */
function unhandled(): unknown[] {
  const seen: unknown[] = []
  const note = (error: unknown) => void seen.push(error)
  const others = process.rawListeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', note)
  onTestFinished(() => {
    process.off('unhandledRejection', note)
    for (const listener of others) process.on('unhandledRejection', listener as never)
  })
  return seen
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** An array that holds itself twice, 60 deep: its JSON would have 2^60 elements. */
function shared(): unknown {
  let value: unknown = 'a'
  for (let depth = 0; depth < 60; depth++) value = [value, value]
  return value
}

describe('a checkpoint or a detail that is too long', () => {
  const values: [string, () => unknown][] = [
    ['shares a value 2^60 times', shared],
    ['is an array of holes', () => new Array(50_000_000)],
    ['is bytes', () => new Float64Array(50_000_000)],
    ['is a list of an array of holes', () => [new Array(50_000_000)]],
    [
      'has a million names without a value',
      () => Object.fromEntries(Array.from({ length: 1_000_001 }, (_, i) => [i, undefined])),
    ],
    [
      'claims to have a billion elements',
      () => new Proxy([], { get: (_, name) => (name === 'length' ? 1e9 : undefined) }),
    ],
  ]
  it.each(values)(
    'is refused soon, when it %s',
    (_, make) => {
      const value = { inner: make() }
      // Without a bound, none ends within the test's time.
      const refused = /1000000 characters|up to 10+ values in it|\.inner` to be a value that JSON keeps/
      expect(() => toProgress({ checkpoint: value })).toThrow(refused)
      expect(() => toProgress({ detail: value as never })).toThrow(refused)
    },
    120_000,
  )

  it('is kept when it just fits', () => {
    const checkpoint = { text: 'a'.repeat(999_989) }
    expect(toProgress({ checkpoint })).toEqual({ checkpoint })
    expect(() => toProgress({ checkpoint: { text: 'a'.repeat(999_990) } })).toThrow('1000000 characters')
    expect(toProgress({ checkpoint: [0, null, true] })).toEqual({ checkpoint: [0, null, true] })
    expect(toProgress({ checkpoint: null })).toEqual({ checkpoint: null })
  })
})

describe('save()', () => {
  async function run(work: (context: JobContext) => unknown, renew?: () => Promise<undefined>) {
    const storage = memoryStorage()
    const registry = new JobRegistry({ storage: renew ? Object.assign(storage, { renew }) : storage })
    registry.define({ type: 'test', id: 'a', run: work as never })
    const { finished } = await registry.start('test', 'a')
    onTestFinished(() => registry.close())
    return finished
  }

  it('that nobody waits for ends no process when the lease is lost', async () => {
    const seen = unhandled()
    const status = await run(
      ({ progress, save }) => {
        progress({ count: 1 })
        void save()
        void save()
        return turn()
      },
      async () => undefined,
    )
    await turn()
    expect(status.state).toBe('error')
    expect(seen).toEqual([])
  })

  it('rejects once the job has ended, which holds its lease no more', async () => {
    let context!: JobContext
    const status = await run((given) => {
      context = given
      context.progress({ count: 1 })
    })
    expect(status).toMatchObject({ state: 'successful', count: 1 })
    context.progress({ count: 2 })
    await expect(context.save()).rejects.toMatchObject({ code: 'lease_lost' })
    expect(context.isHeld()).toBe(false)
  })
})

describe('records that come from memory and go to memory', () => {
  it('leave the event loop to others, and can be aborted', async () => {
    const registry = new JobRegistry({ storage: memoryStorage() })
    onTestFinished(() => registry.close())
    const endless = iterableDatasource(function* () {
      for (let id = 0; id < 3_000_000; id++) yield { id }
    })
    registry.define({ id: 'endless', datasource: endless, target: () => {} })
    await registry.start('ingestion', 'endless')
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await vi.waitFor(() => expect(turns).toBeGreaterThan(3))
    clearInterval(timer)
    expect(await registry.abort('ingestion', 'endless')).toMatchObject({ state: 'aborted' })
  })
})

describe('a text of a million characters', () => {
  it('is redacted, however often a secret is in it', () => {
    const redactor = redactorOf(['aaaa'])
    expect(redactor.redact('aaaa '.repeat(300_000))).toBe('*** '.repeat(300_000))
    expect(redact('password=a '.repeat(100_000))).toBe('password=*** '.repeat(100_000))
  })
})
