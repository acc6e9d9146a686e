import { once } from 'node:events'
import {
  type Clock,
  type Datasource,
  type IngestionJob,
  type Job,
  type JobContext,
  JobError,
  JobRegistry,
  type JobRegistryOptions,
  type JobStorage,
  memoryStorage,
} from 'headgate'
import { RecordBatch, systemClock } from 'headgate/adapter'
import { type FakeClock, fakeClock, heldJob, recordEvents } from 'headgate/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

/** Longer than the wait before a look for an orphan that was told of. */
const soon = 1001

/** Longer than a lease and the look for orphans that follows it. */
const lost = 45_000

let clock: FakeClock
let storage: JobStorage
const registries: JobRegistry[] = []

beforeEach(() => {
  clock = fakeClock()
  storage = memoryStorage({ clock })
})
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close({ timeout: 0 })))
})

/** A registry, and a way for it to die: from then on, storage hears nothing of it. */
function openNode(node: string, options: Partial<JobRegistryOptions> = {}) {
  let isDead = false
  const silent = new Promise<never>(() => {})
  const own = new Proxy(storage, {
    get: (target, name) => {
      const method = Reflect.get(target, name)
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => (isDead ? silent : method.apply(target, args))
    },
  })
  const registry = new JobRegistry({ storage: own, clock, node, ...options })
  const die = () => {
    isDead = true
  }
  return { registry, die, events: recordEvents(registry) }
}

function open(node: string, options: Partial<JobRegistryOptions> = {}) {
  const opened = openNode(node, options)
  registries.push(opened.registry)
  return opened
}

/** Nodes of which the first one runs the job. */
async function eightNodes(definition: Job) {
  const first = openNode('node-0')
  first.registry.define(definition)
  await first.registry.start(definition.type, definition.id)
  return [first, ...Array.from({ length: 7 }, (_, n) => openNode(`node-${n + 1}`))]
}

/** A job that says progress and runs until it is stopped, or until it has been run `last` times. */
function job(id = 'a', more: Partial<Job> = {}) {
  const { job: definition, contexts, finish } = heldJob({ type: 'test', id, resume: 'auto', ...more })
  return { definition, contexts, finish: () => finish() }
}

describe('when a node dies', () => {
  test('another one goes on from its checkpoint, as a new execution linked to the old one', async () => {
    const [first, second] = [openNode('first'), open('second')]
    const { definition, contexts, finish } = job()
    first.registry.define(definition)
    const { executionId } = await first.registry.start('test', 'a')
    contexts[0]?.progress({ count: 7, checkpoint: { at: 7 } })
    await clock.advance(1000)
    second.registry.define(definition)
    first.die()
    await clock.advance(lost)

    const { status } = await second.events.waitFor('running')
    expect(status).toMatchObject({ state: 'running', resumedFrom: executionId, count: 0 })
    expect(status.executionId).not.toBe(executionId)
    expect(contexts[1]).toMatchObject({ checkpoint: { at: 7 }, count: 0 })
    finish()
    await second.events.waitFor('successful')
    const { hits } = await second.registry.search()
    expect(hits).toMatchObject([
      { state: 'successful', resumedFrom: executionId },
      {
        state: 'error',
        executionId,
        count: 7,
        error: ['The node that ran the job stopped answering.', expect.stringContaining('[first]')],
      },
    ])
    expect(contexts[0]?.signal.reason).toMatchObject({ code: 'lease_lost' })
  })

  test('one process logs that it goes on, and each that nobody does, once', async () => {
    const entries: [node: string, level: string, message: string, details: object][] = []
    const nothing = () => {}
    const loggerOf = (node: string) => ({
      ...{ debug: nothing, info: nothing },
      warn: (details: object, message: string) => void entries.push([node, 'warn', message, details]),
      error: (details: object, message: string) => void entries.push([node, 'error', message, details]),
    })
    const first = openNode('first')
    const others = ['second', 'third'].map((node) => open(node, { logger: loggerOf(node) }))
    const [auto, manual] = [job('a'), job('m', { resume: 'manual' })]
    for (const { registry } of [first, ...others]) for (const each of [auto, manual]) registry.define(each.definition)
    const ids: string[] = []
    for (const id of ['a', 'm']) ids.push((await first.registry.start('test', id)).executionId)
    first.die()
    await clock.advance(lost * 2)
    expect(entries.filter(([, level]) => level === 'warn')).toEqual([
      [
        expect.any(String),
        'warn',
        `Job [test/a] resumes execution [${ids[0]}], whose process [first] died.`,
        { type: 'test', id: 'a', executionId: ids[0], node: 'first', count: 0 },
      ],
    ])
    expect(entries.filter(([, level]) => level === 'error').map(([node, , message]) => [node, message])).toEqual(
      expect.arrayContaining(
        ['second', 'third'].map((node) => [
          node,
          `Job [test/m] failed and is not resumed: execution [${ids[1]}], whose process [first] died.`,
        ]),
      ),
    )
    expect(entries).toHaveLength(3)
  })

  test('a registry of which no job resumes logs that too, once, and asks storage once per lease', async () => {
    const entries: unknown[] = []
    const note = (_: object, message: string) => void entries.push(message)
    const ignore = () => {}
    const first = openNode('first')
    const orphans = vi.spyOn(storage, 'orphans')
    const second = open('second', { logger: { debug: ignore, info: ignore, warn: note, error: note } })
    const { definition } = job('m', { resume: 'manual' })
    for (const { registry } of [first, second]) registry.define(definition)
    const { executionId } = await first.registry.start('test', 'm')
    first.die()
    orphans.mockClear()
    await clock.advance(299_000)
    expect(entries).toEqual([
      `Job [test/m] failed and is not resumed: execution [${executionId}], whose process [first] died.`,
    ])
    expect(orphans).toHaveBeenCalledTimes(10)
  })

  test('one of many goes on', async () => {
    const first = openNode('first')
    const { definition, contexts } = job()
    first.registry.define(definition)
    await first.registry.start('test', 'a')
    for (let n = 0; n < 10; n++) open(`other-${n}`).registry.define(definition)
    first.die()
    await clock.advance(lost)
    expect(contexts).toHaveLength(2)
    expect((await storage.live({ type: 'test' })).hits).toHaveLength(1)
  })

  test.each(['manual', 'restart', undefined] as const)(
    'nobody goes on with a job whose resume is %s',
    async (resume) => {
      const first = openNode('first')
      const { definition, contexts } = job('a', resume ? { resume } : {})
      const given: Job = { ...definition }
      if (!resume) delete given.resume
      first.registry.define(given)
      await first.registry.start('test', 'a')
      open('second').registry.define(given)
      first.die()
      await clock.advance(lost * 3)
      expect(contexts).toHaveLength(1)
    },
  )

  test('who has no free slot leaves it to others', async () => {
    const first = openNode('first')
    const { definition, contexts } = job()
    const busy = job('busy')
    first.registry.define(definition)
    await first.registry.start('test', 'a')
    const full = open('full', { concurrency: 1 })
    full.registry.define(busy.definition)
    full.registry.define(definition)
    await full.registry.start('test', 'busy')
    first.die()
    await clock.advance(lost)
    expect(contexts).toHaveLength(1)
    busy.finish()
    await clock.advance(10_000)
    expect(contexts).toHaveLength(2)
  })

  test('a job that kills every node is let go of', async () => {
    const { definition, contexts } = job('a', { resume: 'auto', retry: { limit: 3 } })
    const nodes = await eightNodes(definition)
    for (const [n, node] of nodes.entries()) {
      nodes[n + 1]?.registry.define(definition)
      node.die()
      await clock.advance(lost)
    }
    expect(contexts).toHaveLength(4)
  })

  test('a job that comes on is gone on with however often', async () => {
    const { definition, contexts } = job('a', { resume: 'auto', retry: { limit: 1 } })
    const nodes = await eightNodes(definition)
    for (const [n, node] of nodes.entries()) {
      contexts.at(-1)?.progress({ count: 1, checkpoint: n })
      await clock.advance(1000)
      nodes[n + 1]?.registry.define(definition)
      node.die()
      await clock.advance(lost)
    }
    expect(contexts.map(({ checkpoint }) => checkpoint)).toEqual([undefined, 0, 1, 2, 3, 4, 5, 6])
  })

  test('a job that counts, and never gets past its checkpoint, is let go of', async () => {
    const { definition, contexts } = job('a', { resume: 'auto', retry: { limit: 1 } })
    const nodes = await eightNodes(definition)
    for (const [n, node] of nodes.entries()) {
      contexts.at(-1)?.progress({ count: 1, checkpoint: { at: 1 } })
      await clock.advance(1000)
      nodes[n + 1]?.registry.define(definition)
      node.die()
      await clock.advance(lost)
    }
    expect(contexts).toHaveLength(4)
  })

  test('an ingestion that only repeats its lookback is let go of', async () => {
    let reads = 0
    const repeated = RecordBatch.fromRecords([{ id: 1 }])
    const datasource: Datasource = {
      kind: 'late',
      read: () => {
        throw new Error('reads by a cursor')
      },
      async *readByCursor(_query, { signal, cursor }) {
        reads++
        yield cursor.position === undefined
          ? { batch: repeated, position: ['1'] }
          : { batch: repeated, isReplay: true as const }
        await once(signal, 'abort')
      },
    }
    const nodes = Array.from({ length: 8 }, (_, n) => openNode(`node-${n}`, { datasources: { late: datasource } }))
    const definition: IngestionJob = {
      id: 'late',
      datasource: 'late',
      cursor: { columns: 'id', lookback: 5 },
      resume: 'auto',
      retry: { limit: 1 },
      target: () => {},
    }
    nodes[0]?.registry.define(definition)
    await nodes[0]?.registry.start('ingestion', 'late')
    for (const [n, node] of nodes.entries()) {
      await clock.advance(1000)
      expect(await storage.find('ingestion', 'late')).toMatchObject({ count: 1 })
      nodes[n + 1]?.registry.define(definition)
      node.die()
      await clock.advance(lost)
    }
    expect(reads).toBe(4)
  })

  test('the next start of its own kind goes on too', async () => {
    const first = openNode('first')
    const { definition, contexts } = job()
    first.registry.define(definition)
    await first.registry.start('test', 'a')
    contexts[0]?.progress({ checkpoint: 1 })
    await clock.advance(1000)
    first.die()
    await clock.advance(lost)
    open('second').registry.define(definition)
    await clock.advance(1)
    expect(contexts[1]?.checkpoint).toBe(1)
  })
})

describe('when a node is closed', () => {
  test('another one goes on soon', async () => {
    const [first, second] = [open('first'), open('second')]
    const { definition, contexts } = job()
    first.registry.define(definition)
    const { finished, executionId } = await first.registry.start('test', 'a')
    second.registry.define(definition)
    await clock.advance(1)
    await first.registry.close()
    expect(await finished).toMatchObject({ state: 'aborted' })
    await clock.advance(soon)
    expect((await second.events.waitFor('running')).status).toMatchObject({ resumedFrom: executionId })
    expect(contexts).toHaveLength(2)
  })

  test('jobs that wait in its line are gone on with too', async () => {
    const [first, second] = [open('first', { concurrency: 1 }), open('second')]
    const [a, b] = [job('a'), job('b')]
    for (const { definition } of [a, b]) first.registry.define(definition)
    await first.registry.start('test', 'a')
    await first.registry.start('test', 'b')
    for (const { definition } of [a, b]) second.registry.define(definition)
    await clock.advance(1)
    await first.registry.close()
    await clock.advance(soon)
    await second.events.waitFor('running', ({ id }) => id === 'b')
    await clock.advance(1)
    expect([a.contexts.length, b.contexts.length]).toEqual([2, 1])
  })

  test('a failure in passing that its end brings about is gone on with', async () => {
    const [first, second] = [open('first'), open('second')]
    let runs = 0
    const closed = Object.assign(new Error('the pool was closed'), { code: 'ECONNRESET' })
    const run = ({ signal }: JobContext) => {
      runs++
      return new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(closed)))
    }
    const definition: Job = { type: 'test', id: 'a', resume: 'auto', run }
    first.registry.define(definition)
    await first.registry.start('test', 'a')
    second.registry.define(definition)
    await clock.advance(1)
    await first.registry.close()
    await clock.advance(soon)
    expect(runs).toBe(2)
  })

  test('nobody goes on with what somebody had aborted', async () => {
    const [first, second] = [open('first'), open('second')]
    const { definition, contexts } = job()
    first.registry.define(definition)
    await first.registry.start('test', 'a')
    second.registry.define(definition)
    await second.registry.abort('test', 'a')
    await first.registry.close()
    await clock.advance(lost)
    expect(contexts).toHaveLength(1)
  })

  test('nobody goes on with a job that does not go on by itself', async () => {
    const [first, second] = [open('first'), open('second')]
    const { definition, contexts } = job('a', { resume: 'manual' })
    for (const { registry } of [first, second]) registry.define(definition)
    await first.registry.start('test', 'a')
    await first.registry.close()
    await clock.advance(lost)
    expect([contexts.length, (await storage.orphans()).hits]).toEqual([1, []])
  })
})

test('an execution that sees its lease run out before its timers do leaves an orphan, not a failure', async () => {
  let late = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + late }
  const storage = memoryStorage()
  const registry = new JobRegistry({ storage, clock })
  registry.define({
    type: 't',
    id: 'i',
    resume: 'auto',
    async run({ isHeld }) {
      late = 3_600_000
      if (!isHeld()) throw new JobError('lease_lost', 'The lease is lost.')
    },
  })
  const { finished } = await registry.start('t', 'i')
  expect(await finished).toMatchObject({ state: 'error' })
  expect(await storage.find('t', 'i')).toMatchObject({ state: 'error', isOrphaned: true })
  await registry.close()
})
