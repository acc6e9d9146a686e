import type pg from 'pg'
import { isFile, isReplace, type Plan, readsAll, type Step, seesChanges } from './plan.js'
import { quoted, type World } from './world.js'

/**
 * What the target should hold, without headgate: the table `model`. What was loaded, the table `loaded` has, by the number of the row
 * and the time of its change.
 */
export class Model {
  readonly #plan: Plan
  readonly #pool: pg.Pool
  readonly #world: World
  /** How many records were written since everything was loaded anew. */
  #written = 0
  /** The last dead letter of before that. */
  #lastDead = 0
  /** Whether a storage was put back that did not know of the latest dead letters: their records are put aside again. */
  #hasRepeatedDead = false
  /** The checkpoint says something else than the target. */
  #contradiction: 'gone' | 'forgotten' | undefined

  constructor(plan: Plan, pool: pg.Pool, world: World) {
    this.#plan = plan
    this.#pool = pool
    this.#world = world
  }

  async prepare(): Promise<void> {
    await this.#pool.query(`
      create table model (like source);
      create table loaded (n int8, changed_at timestamptz)`)
  }

  /** Takes in what happened to target and checkpoints, as the docs say what the next run does then. */
  async happen(what: Step['what']): Promise<void> {
    const isTable = !isFile(this.#plan.write.kind)
    const isEmpty = (await this.#world.rowsOf('model')).length === 0
    if (what === 'truncate' || what === 'drop') await this.#pool.query('truncate model')
    if (!this.keepsCheckpoint) return
    const isForgotten = what === 'lose all' || (what === 'lose' && !isTable) || (what === 'drop' && isTable)
    // Nothing tells of a checkpoint then, or nothing can be there twice: all is loaded again.
    if (isForgotten || (what === 'forget' && isEmpty && this.#written > 0)) return this.startOver()
    if (this.#written === 0) return
    if (what === 'forget') this.#contradiction = 'forgotten'
    if (what === 'truncate' || what === 'drop' || what === 'remake') this.#contradiction = 'gone'
    if (this.#contradiction && this.#plan.ifTargetReset === 'restart') await this.startOver()
    if (this.#plan.ifTargetReset === 'continue') this.#contradiction = undefined
  }

  /** Tells what a later call puts the numbers back to. */
  save(): () => void {
    const [written, lastDead] = [this.#written, this.#lastDead]
    return () => {
      this.#written = written
      this.#lastDead = lastDead
      this.#contradiction = undefined
    }
  }

  /** The storage was put back, and the target with it, but not the dead letters. */
  repeatDead(): void {
    this.#hasRepeatedDead = true
  }

  /** The refusal that the job owes, until somebody does something about it. */
  get refusal(): RegExp | undefined {
    if (!this.#contradiction) return undefined
    return this.#contradiction === 'gone'
      ? /The target was emptied or created again/
      : /The target holds records but no/
  }

  /** Whether a run of the job goes on from where one that was successful has ended. */
  get keepsCheckpoint(): boolean {
    const { read, write, resume } = this.#plan
    return !isReplace(write.kind) && read.way !== 'whole' && resume !== 'restart'
  }

  /** The next runs load everything. */
  async startOver(): Promise<void> {
    this.#contradiction = undefined
    this.#written = 0
    await this.#pool.query('truncate loaded')
    const { rows } = await this.#pool.query('select coalesce(max(place), 0) as place from dead')
    this.#lastDead = Number(rows[0].place)
  }

  /** The target was emptied, and its checkpoint taken away. */
  async empty(): Promise<void> {
    await this.#pool.query('truncate model')
    await this.startOver()
  }

  /** Takes in what the runs have loaded that are over. */
  async load(): Promise<void> {
    const { kind } = this.#plan.write
    await this.#pool.query(`drop table if exists wanted; create table wanted as ${this.#wanted()}`)
    if (isReplace(kind)) await this.#pool.query('truncate model')
    if (kind === 'upsert')
      await this.#pool.query('delete from model m using wanted w where m.n = w.n and m.part = w.part')
    if (kind !== 'upsert' && !isReplace(kind) && readsAll(this.#plan)) {
      // How often each was read, nobody knows: see `difference`.
      await this.#pool.query('delete from model m using wanted w where m.n = w.n and m.part = w.part')
    }
    const names = this.#world.columns.map(({ name }) => quoted(name)).join(', ')
    const { rowCount } = await this.#pool.query(`insert into model (${names}) select ${names} from wanted`)
    this.#written += rowCount ?? 0
    await this.#pool.query('insert into loaded select n, changed_at from source')
  }

  /** What the target is given of the rows of the source that are new. */
  #wanted(): string {
    const { transform } = this.#plan.write
    const made = new Map([
      ['note', { changed: `'changed ' || s.note`, sparse: `case when n % 4 = 1 then 'default' else s.note end` }],
      ['part', { doubled: 'copies.part' }],
    ] as [string, { [name in typeof transform]?: string }][])
    const columns = this.#world.columns.map(({ name }) => {
      return `${made.get(name)?.[transform] ?? `s.${quoted(name)}`} as ${quoted(name)}`
    })
    const copies = transform === 'doubled' ? 'case when n % 5 = 0 then 2 else 1 end' : '1'
    return `select ${columns.join(', ')}
      from source s cross join lateral (select generate_series(1, ${copies}) as part) copies
      where ${this.#isNew} and ${this.#isRead} and ${this.#isKept} and s.poison <> 'x' and not ${this.#isDead}`
  }

  get #isNew(): string {
    if (readsAll(this.#plan)) return 'true'
    const same = seesChanges(this.#plan) ? 'and l.changed_at is not distinct from s.changed_at' : ''
    return `not exists (select from loaded l where l.n = s.n ${same})`
  }

  get #isRead(): string {
    const { read, source } = this.#plan
    return source.hasNulls && read.nulls === 'skip' ? 's.changed_at is not null' : 'true'
  }

  /** Whether the transform leaves anything of a row. */
  get #isKept(): string {
    return this.#plan.write.transform === 'dropped' ? 's.n % 3 <> 0' : 'true'
  }

  /** Whether a row was put aside, as it was until something made it sound. */
  get #isDead(): string {
    if (readsAll(this.#plan)) return 'false'
    return `exists (select from dead d where d.place > ${this.#lastDead} and d.record->>'n' = s.n::text
      and (d.record->>'changed_at')::timestamptz is not distinct from s.changed_at)`
  }

  /** Whether records are added in every run that were added before, nobody knows how often. */
  get #isRepeated(): boolean {
    return readsAll(this.#plan) && /append|^file/.test(this.#plan.write.kind)
  }

  /** What differs between the target and the model; `undefined` when they are equal. */
  async difference(): Promise<string | undefined> {
    const [expected, got] = [await this.#expected(), await this.#world.target()]
    const found = this.#isRepeated ? [...new Set(got)] : got
    const wanted = this.#isRepeated ? [...new Set(expected)] : expected
    const [missing, extra] = [without(wanted, found), without(found, wanted)]
    if (missing.length + extra.length === 0) return undefined
    return `expected ${wanted.length} rows, target ${found.length}\n${shown('missing', missing)}\n${shown('extra', extra)}`
  }

  /** What a job that was refused for good should not have written; `undefined` when there is nothing of the kind. */
  async strangers(): Promise<string | undefined> {
    const before = await this.#expected()
    // What is there stays until it is replaced, or until a change of it was read.
    if (isReplace(this.#plan.write.kind)) return this.difference()
    await this.load()
    const allowed = [...(await this.#expected()), ...(this.#plan.write.kind === 'upsert' ? before : [])]
    const got = await this.#world.target()
    const extra = without(this.#isRepeated ? [...new Set(got)] : got, allowed)
    return extra.length === 0 ? undefined : shown('extra', extra)
  }

  async #expected(): Promise<string[]> {
    return isFile(this.#plan.write.kind) ? this.#lines() : this.#world.rowsOf('model')
  }

  /** What is wrong with the dead letters. */
  async deadLetters(): Promise<string | undefined> {
    const { failures } = this.#plan
    if (failures.budget !== 'few' && failures.budget !== 'all') return undefined
    const isMet = failures.poison === 'transform' ? this.#isRead : `${this.#isRead} and ${this.#isKept}`
    const { rows } = await this.#pool.query(`
      with dead as (
        select record->>'n' as n, record->>'changed_at' as changed_at, key from dead where place > ${this.#lastDead}
      )
      select (select count(*) from dead where n::int8 % ${failures.every} <> 0) as "sound rows put aside",
        (select count(*) - count(distinct key) from dead) as "rows put aside twice by one key",
        (select count(*) - count(distinct (n, coalesce(changed_at, ''))) from dead) as "rows put aside twice",
        (select count(*) from source s where poison = 'x' and ${isMet} and not exists (select from dead d where d.n = s.n::text))
          as "rows not put aside"`)
    const excused = readsAll(this.#plan) ? ['rows put aside twice'] : []
    if (this.#hasRepeatedDead) excused.push('rows put aside twice', 'rows put aside twice by one key')
    const wrong = Object.entries(rows[0]).filter(([what, count]) => Number(count) > 0 && !excused.includes(what))
    if (wrong.length === 0) return undefined
    const { rows: reasons } = await this.#pool.query(
      `select error::text || ': ' || count(*) as reason from dead group by error::text`,
    )
    const counts = wrong.map(([what, count]) => `${count} ${what}`).join(', ')
    return `dead letters: ${counts}\n    ${reasons.map(({ reason }) => reason).join('\n    ')}`
  }

  /** The lines of the model, made by the types of JavaScript alone. */
  async #lines(): Promise<string[]> {
    const { columns } = this.#world
    const texts = columns.map(({ name, type }) =>
      type === 'timestamptz'
        ? `to_char(${quoted(name)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')`
        : `${quoted(name)}::text`,
    )
    const { rows } = await this.#pool.query({ text: `select ${texts.join(', ')} from model`, rowMode: 'array' })
    return rows.map((row: (string | null)[]) => {
      const fields = columns.map(({ name, type }, index) => [name, jsonOf(row[index] as string | null, type)] as const)
      // Lines of before the table was altered do not have it.
      return JSON.stringify(Object.fromEntries(fields.filter(([name, value]) => name !== 'extra' || value !== null)))
    })
  }
}

function jsonOf(text: string | null, type: string): unknown {
  if (text === null) return null
  if (type === 'timestamptz') return `${text.replace(/\.?0+$/, '')}Z`
  return type === 'int4' || type === 'boolean' ? JSON.parse(text) : text
}

/** What of `some` is not in `others`, each as often as it is missing. */
function without(some: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const one of others) left.set(one, (left.get(one) ?? 0) + 1)
  return some.filter((one) => {
    const count = left.get(one) ?? 0
    left.set(one, count - 1)
    return count <= 0
  })
}

function shown(what: string, rows: readonly string[]): string {
  return `  ${rows.length} ${what}:\n    ${rows.slice(0, 3).join('\n    ')}`
}
