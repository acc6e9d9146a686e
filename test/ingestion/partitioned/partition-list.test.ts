import { type IngestionDetail, JobRegistry, type JobStatus, memoryStorage, type PartitionDetail } from 'headgate'
import { iterableDatasource } from 'headgate/iterable'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describedHandler } from '../../http/described-handler.js'
import { describePostgres } from '../../support/describe-postgres.js'
import { people } from '../people.js'
import { Gate, PartWorld } from './partitions-support.js'

type Partitions = NonNullable<IngestionDetail['partitions']>

const partitionsIn = (status: JobStatus | undefined) => (status?.detail as IngestionDetail | undefined)?.partitions

/** The first status of a job whose partitions are as wanted. */
function statusWith(registry: JobRegistry, isWanted: (partitions: Partitions) => boolean): Promise<JobStatus> {
  return new Promise((resolve) => {
    registry.on('progress', ({ status }) => {
      const partitions = partitionsIn(status)
      if (partitions && isWanted(partitions)) resolve(status)
    })
  })
}

describePostgres('the partitions in the status of a job', (database) => {
  let world: PartWorld
  beforeEach(async () => {
    world = new PartWorld(database.url)
    await world.fill(300)
    await world.admin.query('drop table if exists headgate_checkpoint')
  })
  afterEach(() => world.close())

  it('have their range, state, records, position and node', async () => {
    const registry = world.registry({ concurrency: 2, isAlone: true, node: 'worker-1' })
    const gate = new Gate((id) => id === 150)
    world.define({ partitions: [101, 201], transform: gate.transform })
    const isHeld = ({ list }: Partitions) => list[0]?.state === 'done' && list[1]?.read === 40
    const held = statusWith(registry, isHeld)
    const execution = await registry.start('ingestion', 'copy')
    const { states, list } = partitionsIn(await held) as Partitions
    expect(Object.values(states).reduce((sum, count) => sum + count, 0)).toBe(3)
    expect(list).toMatchObject([
      { number: 0, until: '101', state: 'done', read: 100, position: '100', node: 'worker-1' },
      { number: 1, from: '101', until: '201', state: 'running', read: 40, position: '140', node: 'worker-1' },
      { number: 2, from: '201' },
    ])
    expect(list[0]).not.toHaveProperty('from')
    expect(list[2]).not.toHaveProperty('until')
    gate.open()
    const done = partitionsIn(await execution.finished)
    expect(done?.states).toEqual({ done: 3 })
    expect(done?.list.map(({ read }) => read)).toEqual([100, 100, 100])
  })

  it('show times with a zone as ISO 8601, and the failed one', async () => {
    await world.admin.query(`drop table source; create table source (id timestamptz primary key, name text);
      insert into source select '2026-01-01 00:00:00+00'::timestamptz + n * interval '1 hour', 'x' from generate_series(0, 47) n;
      drop table copy; create table copy (like source)`)
    const registry = world.registry({ concurrency: 2, isAlone: true })
    const partitions = ['2026-01-01 06:30:00+02', '2026-01-02T00:00:00.5Z']
    const transform = (record: object) => {
      if (String((record as { id: string }).id).startsWith('2026-01-02')) throw new Error('bad')
      return record as never
    }
    world.define({ partitions, transform })
    const { list } = partitionsIn(await (await registry.start('ingestion', 'copy')).finished) as Partitions
    expect(list.map(({ from, until }) => [from, until])).toEqual([
      [undefined, '2026-01-01T04:30:00.000Z'],
      ['2026-01-01T04:30:00.000Z', '2026-01-02T00:00:00.500Z'],
      ['2026-01-02T00:00:00.500Z', undefined],
    ])
    expect(list.filter(({ state }) => state === 'failed').length).toBeGreaterThan(0)
    const { position } = list.find(({ state }) => state === 'done') ?? (list[0] as PartitionDetail)
    expect(position ?? '2026-01-01T04:00:00.000Z').toMatch(/^2026-01-01T\d\d:00:00.000Z$/)
  })
})

describe('many partitions in the status of a job', () => {
  let registry: JobRegistry
  beforeEach(() => {
    registry = new JobRegistry({ storage: memoryStorage(), progressInterval: 0, concurrency: 2 })
  })
  afterEach(() => registry.close({ timeout: 1000 }))

  const first = 120
  const define = (partitions: string[], gate: Gate) =>
    registry.define({
      id: 'people',
      datasource: iterableDatasource(({ range = {} }) =>
        people(1, 300).filter(({ id }) => Number(id) >= key(range.from, 0) && Number(id) < key(range.until, 999)),
      ),
      partitions,
      transform: gate.transform,
      target: () => undefined,
    })
  /** The number that a bound ends with. */
  const key = (bound: string | undefined, otherwise: number) =>
    bound === undefined ? otherwise : Number(bound.slice(-4))
  const bounds = (lead = '') => Array.from({ length: 255 }, (_, n) => `${lead}${String(n + 1).padStart(4, '0')}`)

  it('are counted, and those that matter are listed', async () => {
    const gate = new Gate((id) => id === first)
    define(bounds(), gate)
    const held = statusWith(registry, ({ states }) => (states.done ?? 0) > 100 && (states.queued ?? 0) < 95)
    const execution = await registry.start('ingestion', 'people')
    const { states, list } = partitionsIn(await held) as Partitions
    expect(Object.values(states).reduce((sum, count) => sum + count, 0)).toBe(256)
    expect(list).toHaveLength(100)
    const numbers = list.map(({ number }) => number)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(list.find(({ number }) => number === first)).toMatchObject({ state: 'running', read: 0 })
    expect(list.filter(({ state }) => state === 'queued')).toHaveLength(states.queued ?? 0)
    gate.open()
    expect(partitionsIn(await execution.finished)?.states).toEqual({ done: 256 })
  })

  it('with long bounds of hostile characters are bounded, and redacted for HTTP', async () => {
    const lead = `pass\u0000\ud800"\\word postgres://ann:hunter22@db/shop ${'\u0001'.repeat(100)}`
    define(bounds(lead).slice(0, 110), new Gate(() => false))
    const { detail, ...rest } = await (await registry.start('ingestion', 'people')).finished
    expect(rest).toMatchObject({ state: 'successful' })
    expect(JSON.stringify(detail).length).toBeLessThan(200_000)
    const url = 'http://localhost/_siren/connector/jobs/ingestion/people?detail=true'
    const text = await (await describedHandler(registry)(new Request(url))).text()
    expect(text.length).toBeLessThan(70_000)
    expect(text).not.toContain('hunter22')
    expect(JSON.parse(text).status.detail.progress).toMatchObject({ read: 300, parts: { total: 111, done: 111 } })
  })
})
