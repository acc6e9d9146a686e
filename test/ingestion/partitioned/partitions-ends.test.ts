import { setTimeout } from 'node:timers/promises'
import { type Datasource, JobError, type JobRecord, type JobRegistry, type Target } from 'headgate'
import { postgresDatasource, postgresTarget } from 'headgate/postgres'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePostgres } from '../../support/describe-postgres.js'
import { Gate, PartWorld, whole } from './partitions-support.js'

describePostgres('an ingestion in parts that is cut short', (database) => {
  let world: PartWorld
  beforeEach(async () => {
    world = new PartWorld(database.url)
    await world.fill(300)
    await world.admin.query('drop table if exists headgate_checkpoint')
  })
  afterEach(() => world.close())

  const start = (registry = world.registries[0] as JobRegistry) => registry.start('ingestion', 'copy')
  const run = async (registry?: JobRegistry) => (await start(registry)).finished
  const bounds = { partitions: [101, 201] }
  const failing = (record: object) => {
    if ((record as { id: string }).id === '150') throw new JobError('transform', 'a bad record')
    return record as JobRecord
  }

  it('ends when its registry closes and waits for it, though it has more partitions than slots', async () => {
    const registry = world.registry({ isAlone: true, concurrency: 2 })
    const gate = new Gate((id) => id === 20)
    world.define({ partitions: 4, transform: gate.transform })
    const { finished } = await start(registry)
    await gate.reached
    const closed = registry.close({ drain: true })
    gate.open()
    await closed
    expect(await finished).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
  })

  it('stops with the first part that fails, and says which one it is', async () => {
    world.registry()
    world.registry()
    const gate = new Gate((id) => id === 50 || id === 250)
    world.define({
      ...bounds,
      transform: (record, context) => gate.transform(failing(record), context),
    })
    const status = await run()
    expect(status).toMatchObject({
      state: 'error',
      error: ['Partition 2 of 3 failed.', expect.any(String), expect.stringMatching(/\(id 150\)\.$/), 'a bad record'],
      detail: { parts: { total: 3, done: 0 } },
      failure: {
        code: 'transform',
        place: expect.stringContaining('(id 150)'),
        stack: expect.stringMatching(/^JobError: a bad record\n +at \S*failing /),
      },
    })
    expect((await world.partsOf()).map(({ partition, state }) => `${partition} ${state}`).sort()).toEqual([
      '0 aborted',
      '1 error',
      '2 aborted',
    ])
    expect(await world.liveParts()).toEqual([])
  })

  it('lets the target go when that does not take the checkpoint of all parts', async () => {
    world.registry()
    const target = postgresTarget({ connectionString: `${database.url}?application_name=ends`, table: 'copy' })
    let last = 'nothing'
    const refusing: Target = {
      ...target,
      async open(context) {
        const opened = await target.open(context)
        const { writer } = opened
        if (context.partition === undefined && last === 'begun') {
          last = 'opened'
          const { flush, abort } = writer
          writer.flush = async (checkpoint) => {
            await world.admin.query(`update headgate_checkpoint set execution = 'z' where type = 'ingestion'`)
            return flush?.call(writer, checkpoint)
          }
          writer.abort = async (reason) => {
            last = 'released'
            await abort?.call(writer, reason)
          }
        } else if (context.partition === undefined) last = 'begun'
        return opened
      },
    }
    world.define({ ...bounds, target: refusing })
    expect(await run()).toMatchObject({ state: 'error' })
    expect(last).toBe('released')
    const left = `select state from pg_stat_activity where application_name = 'ends' and state <> 'idle'`
    expect((await world.admin.query(left)).rows).toEqual([])
  })

  it('is aborted by any registry, and ends when all parts have', async () => {
    world.registry({ concurrency: 2 })
    const other = world.registry({ concurrency: 1 })
    const gate = new Gate(() => true)
    world.define({ ...bounds, partitions: 5, transform: gate.transform })
    const { finished } = await start()
    await gate.reached
    expect(await other.abort('ingestion', 'copy')).toMatchObject({ state: 'aborted', count: 0 })
    expect(await finished).toMatchObject({ state: 'aborted' })
    expect(await world.liveParts()).toEqual([])
    expect(new Set((await world.partsOf()).map(({ state }) => state))).toEqual(new Set(['aborted']))
    gate.open()
    expect(await run()).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
  })

  it.each(['manual', 'auto'] as const)('does again only what was not done (%s)', async (resume) => {
    world.registry({ isAlone: true, concurrency: 1 })
    const gate = new Gate((id) => id === 150)
    world.define({ ...bounds, resume, transform: gate.transform })
    const { finished } = await start()
    await gate.reached
    await (world.registries[0] as JobRegistry).close()
    expect(await finished).toMatchObject({ state: 'aborted' })
    const next = world.registry({ isAlone: true })
    next.define(world.job({ ...bounds, resume, partitions: 7 }))
    const status = resume === 'auto' ? await ended(next) : await run(next)
    // The first part was done; the second one goes on where it was. The old cuts stay until all is done.
    expect(status).toMatchObject({
      state: 'successful',
      lastId: '300',
      detail: { split: true, parts: { total: 3, done: 3 } },
    })
    expect(status?.count).toBeLessThanOrEqual(200)
    expect(await world.difference()).toEqual(whole)
    expect((await world.partsOf()).filter(({ partition }) => partition === 0)).toHaveLength(1)
    await world.admin.query(`insert into source select id, 'more' from generate_series(301, 400) id`)
    expect(await run(next)).toMatchObject({ state: 'successful', count: 100, detail: { parts: { total: 7 } } })
    expect(await world.difference()).toEqual(whole)
  })

  const ended = async (registry: JobRegistry) => {
    for (;;) {
      const status = await registry.status('ingestion', 'copy')
      if (status?.state === 'successful') return status
      await setTimeout(10)
    }
  }

  it('is handed on by a registry that closes, while the parts of others go on', async () => {
    const first = world.registry({ concurrency: 2 })
    const second = world.registry({ concurrency: 3 })
    const gate = new Gate((id) => id % 100 === 50)
    world.define({ ...bounds, resume: 'auto', transform: gate.transform })
    await start(first)
    await gate.reached
    while ((await world.liveParts()).some(({ node }) => node === null)) await setTimeout(5)
    const live = await world.liveParts()
    await first.close()
    gate.open()
    expect(await ended(second)).toMatchObject({ lastId: '300' })
    expect(await world.difference()).toEqual(whole)
    // What the second registry did was not interrupted.
    const kept = live.filter(({ node }) => node === 'node 2').map(({ executionId }) => executionId)
    expect(kept.length).toBeGreaterThan(0)
    const done = (await world.partsOf()).filter(({ state }) => state === 'successful').map((part) => part.executionId)
    expect(done).toEqual(expect.arrayContaining(kept))
  })

  it('cuts anew with `restart`, and lets nothing of the old cut live', async () => {
    const first = world.registry({ isAlone: true })
    const gate = new Gate((id) => id === 150)
    first.define(world.job({ partitions: 6, resume: 'restart', transform: gate.transform }))
    const { finished } = await start()
    await gate.reached
    await first.abort('ingestion', 'copy')
    await finished
    const next = world.registry({ isAlone: true })
    await world.admin.query('truncate copy')
    next.define(world.job({ partitions: 2, resume: 'restart' }))
    expect(await run(next)).toMatchObject({
      state: 'successful',
      count: 300,
      detail: { split: false, parts: { total: 2 } },
    })
    expect(await world.difference()).toEqual(whole)
    expect(await world.liveParts()).toEqual([])
  })

  it('is refused without parts until all are done', async () => {
    const first = world.registry({ isAlone: true })
    first.define(world.job({ ...bounds, transform: failing }))
    expect(await run()).toMatchObject({ state: 'error' })
    const { partitions: _, ...uncut } = world.job()
    const second = world.registry({ isAlone: true })
    second.define(uncut)
    expect(await run(second)).toMatchObject({
      state: 'error',
      error: [expect.stringMatching(/has unfinished partitions.*`partitions`.*fullRefresh/)],
    })
    const third = world.registry({ isAlone: true })
    third.define(world.job(bounds))
    expect(await run(third)).toMatchObject({ state: 'successful' })
    expect(await run(second)).toMatchObject({ state: 'successful', count: 0 })
    expect(await world.difference()).toEqual(whole)
  })

  it('goes on in parts where a run without them was killed before storage heard of its last records', async () => {
    const first = world.registry({ isAlone: true, progressInterval: 0 })
    const { partitions: _, ...uncut } = world.job()
    const gate = new Gate((id) => id === 100)
    first.define({ ...uncut, transform: gate.transform })
    // A storage that hears of nothing but the start.
    const renew = world.storage.renew.bind(world.storage)
    world.storage.renew = (lease, { checkpoint: _, count: __, ...request }) => renew(lease, request)
    await start()
    await gate.reached
    while ((await world.admin.query('select from copy')).rowCount === 0) await setTimeout(5)
    const record = await world.storage.find('ingestion', 'copy')
    await world.storage.finish(record as never, { state: 'error', isOrphaned: true })
    world.storage.renew = renew
    const next = world.registry({ isAlone: true })
    next.define(world.job())
    const status = await run(next)
    gate.open()
    expect(status).toMatchObject({ state: 'successful', lastId: '300' })
    expect(status.count).toBeLessThan(300)
    expect(await world.difference()).toEqual(whole)
  })

  it('tries errors that pass again only where the job says so', async () => {
    const flaky = () => {
      const failed = new Set<string>()
      return (record: object) => {
        const { id } = record as { id: string }
        if (id === '150' && !failed.has(id)) {
          failed.add(id)
          throw Object.assign(new Error('away'), { code: 'ECONNRESET' })
        }
        return record as JobRecord
      }
    }
    const manual = world.registry({ isAlone: true })
    manual.define(world.job({ ...bounds, transform: flaky() }))
    expect(await run(manual)).toMatchObject({ state: 'error' })
    const auto = world.registry({ isAlone: true })
    auto.define(world.job({ ...bounds, transform: flaky(), resume: 'auto', retry: { delay: 1 } }))
    expect(await run(auto)).toMatchObject({ state: 'successful', detail: { split: true } })
    expect(await world.difference()).toEqual(whole)
  })

  it('counts a new plan of the parts as no progress: its tries come to an end', async () => {
    let plans = 0
    const datasource = postgresDatasource({ connectionString: database.url })
    const counting: Datasource = {
      ...datasource,
      read: (...given) => datasource.read(...given),
      readByCursor: (...given) => datasource.readByCursor?.(...given) as never,
      partition: async (...given) => {
        plans++
        return datasource.partition?.(...given) as never
      },
    }
    const registry = world.registry({ isAlone: true })
    const transform = () => {
      throw new Error('never')
    }
    const retry = { limit: 3, delay: 1, maxDelay: 1, isTransient: () => true }
    registry.define(world.job({ ...bounds, datasource: counting, transform, resume: 'auto', retry }))
    expect(await run(registry)).toMatchObject({ state: 'error' })
    expect(plans).toBe(4)
  })

  it('does a part again whose node was lost', async () => {
    world.registry({ concurrency: 1 })
    const lost = world.registry({ concurrency: 1, lease: 300, node: 'lost' })
    const gate = new Gate((id) => id === 250)
    const gated = new Gate((id) => id === 50)
    ;(world.registries[0] as JobRegistry).define(world.job({ ...bounds, transform: gated.transform }))
    lost.define(world.job({ ...bounds, transform: gate.transform }))
    // As of a process that was killed: nothing of it reaches storage any more.
    const { renew, finish } = world.storage
    let isLost = false
    const cut = <Call extends (...given: never[]) => Promise<unknown>>(
      call: Call,
      node: (...given: never[]) => boolean,
    ) =>
      ((...given: never[]) =>
        isLost && node(...given) ? Promise.reject(new Error('cut off')) : call.apply(world.storage, given)) as Call
    let lostParts: string[] = []
    world.storage.renew = cut(renew, (({ executionId }: { executionId: string }) =>
      lostParts.includes(executionId)) as never)
    world.storage.finish = cut(finish, (({ executionId }: { executionId: string }) =>
      lostParts.includes(executionId)) as never)
    const { finished } = await start()
    await gate.reached
    lostParts = (await world.liveParts()).filter(({ node }) => node === 'lost').map((part) => part.executionId)
    isLost = true
    gated.open()
    expect(await finished).toMatchObject({ state: 'successful', count: 300 })
    expect(await world.difference()).toEqual(whole)
    isLost = false
    const again = (await world.partsOf()).filter(({ isOrphaned }) => isOrphaned)
    expect(again).toHaveLength(1)
  })

  it('is written to a table in one step with what tells where it stands', async () => {
    world.registry({ isAlone: true })
    const target = postgresTarget({ connectionString: database.url, table: 'copy' })
    world.define({ ...bounds, target })
    await run()
    const { rows } = await world.admin.query('select type, id from headgate_checkpoint order by id')
    expect(rows).toEqual(Array(4).fill({ type: 'ingestion', id: 'copy' }))
  })
})
