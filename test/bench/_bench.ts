import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { startPostgres } from '../support/postgres.js'

/** What a contender works on. */
export interface Task {
  /** The Postgres server's database. */
  readonly url: string
  /** A table of {@link Task.rows} rows of 8 mixed columns, in the order of its key `id`. */
  readonly table: string
  /** How many rows the table has, so that a contender can tell whether it saw them all. */
  readonly rows: number
}

/** Measures `work` alone: what comes before and after is then no part of a contender's time. */
export async function timed<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  const stop = startTimes()
  const answer = await work()
  timedSpan = stop()
  return answer
}

/** What `timed` measured, if it was called. */
let timedSpan: Span | undefined

/** How long something took, on the clock and of the process' own work. */
interface Span {
  readonly seconds: number
  readonly cpuSeconds: number
}

function startTimes(): () => Span {
  const start = performance.now()
  const startCpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(startCpu)
    return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }
  }
}

/** What a contender saw that works in processes of its own. */
export interface Seen {
  readonly rows: number
  /** The most memory that they held, in megabytes. */
  readonly peak: number
}

/** Does the task, and gives how many rows it saw. */
export type Contender = (task: Task) => Promise<number | Seen>

/** What a contender came to: the median of its rounds. */
export interface Measured {
  readonly name: string
  readonly rows: number
  readonly rowsPerSecond: number
  /** Per second of the process' own work: what a busy machine leaves as it is. */
  readonly rowsPerCpuSecond: number
  /** The most memory its process held, in megabytes. */
  readonly peak: number
  /** The memory that its process held before it began: Node, and what compiles TypeScript. */
  readonly base: number
}

/** Lets contenders run in turn, each round of each in a process of its own, and prints what came out, with ratios. */
export type Measure = (title: string, rows: number, names: readonly string[], more?: MoreColumns) => Promise<Measured[]>

/** Columns that the table of a task has beside the 8 mixed ones. */
export interface MoreColumns {
  /** What is appended to the name of the table. */
  readonly name: string
  /** The statements that create their types. */
  readonly types: string
  /** The columns, by the columns of the table without them. */
  readonly columns: string
}

/** What a contender's process sends back. */
interface Sample extends Span {
  readonly peak: number
  readonly base: number
}

/** How often each contender runs: the first round is not counted. */
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)

/**
 * Runs one file of benchmarks, which calls this with its own `import.meta.url`: `body` in this process, and contenders by
 * their names in processes of their own that run the same file.
 */
export async function bench(
  file: string,
  contenders: Readonly<Record<string, Contender>>,
  body: (measure: Measure) => Promise<void>,
): Promise<void> {
  const [mark, name, task] = process.argv.slice(2)
  if (mark === 'contend') return contend(contenders[name ?? ''] as Contender, JSON.parse(task ?? '') as Task)
  const server = await startPostgres()
  try {
    await body(async (title, rows, names, more) => {
      const plain = await fill(server.url, rows)
      const table = more ? await widen(server.url, plain, more) : plain
      const task = { url: server.url, table, rows }
      const measured = await inTurn(fileURLToPath(file), names, task)
      print(title, measured)
      return measured
    })
  } finally {
    await server.stop()
  }
}

async function contend(contender: Contender, task: Task): Promise<void> {
  const base = process.memoryUsage.rss() / 2 ** 20
  const stop = startTimes()
  const seen = await contender(task)
  const rows = typeof seen === 'number' ? seen : seen.rows
  const span = timedSpan ?? stop()
  if (rows !== task.rows) throw new Error(`Expected ${task.rows} rows, got ${rows}`)
  const peak = typeof seen === 'number' ? process.resourceUsage().maxRSS / 1024 : seen.peak
  process.send?.({ ...span, peak, base } satisfies Sample)
}

async function inTurn(file: string, names: readonly string[], task: Task): Promise<Measured[]> {
  const samples = new Map(names.map((name) => [name, [] as Sample[]]))
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const sample = await inOwnProcess(file, name, task)
      if (round > 0) samples.get(name)?.push(sample)
    }
  }
  return [...samples].map(([name, taken]) => ({
    name,
    rows: task.rows,
    rowsPerSecond: task.rows / median(taken.map(({ seconds }) => seconds)),
    rowsPerCpuSecond: task.rows / median(taken.map(({ cpuSeconds }) => cpuSeconds)),
    peak: median(taken.map(({ peak }) => peak)),
    base: median(taken.map(({ base }) => base)),
  }))
}

async function inOwnProcess(file: string, name: string, task: Task): Promise<Sample> {
  const child = fork(file, ['contend', name, JSON.stringify(task)])
  let sample: Sample | undefined
  child.on('message', (message) => {
    sample = message as Sample
  })
  const [code] = await once(child, 'exit')
  if (code !== 0 || !sample) throw new Error(`Contender \`${name}\` ended with ${code}`)
  return sample
}

/** Makes the table of that many rows unless it is there: about 185 bytes per row with all overhead. */
async function fill(url: string, rows: number): Promise<string> {
  const table = `bench_${rows}`
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows: found } = await client.query('select to_regclass($1) as name', [table])
  if (found[0].name === null) {
    await client.query(`create table ${table} (id int8 primary key, quantity int4 not null, price numeric(12, 2),
      ratio float8 not null, name text not null, created_at timestamptz not null, active boolean not null, details jsonb)`)
    await client.query(`insert into ${table} select n, n % 1000, (n % 100000) / 100.0, sqrt(n),
      'customer number ' || n || ' of the reference table', timestamptz '2024-01-01' + n * interval '1.234567 seconds',
      n % 2 = 0, case when n % 4 > 0 then jsonb_build_object('n', n, 'tags', array['a', 'b']) end
      from generate_series(1, ${rows}) as n`)
    await client.query(`vacuum (analyze, freeze) ${table}`)
  }
  await client.end()
  return table
}

/** Makes the table with more columns. */
async function widen(url: string, plain: string, { name, types, columns }: MoreColumns): Promise<string> {
  const table = `${plain}_${name}`
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`${types}; create table ${table} as select *, ${columns} from ${plain} order by id;
    alter table ${table} add primary key (id)`)
  await client.query(`vacuum (analyze, freeze) ${table}`)
  await client.end()
  return table
}

/** The ratios are to the last contender, which is the one to hold against: of speed, and of work. */
function print(title: string, measured: readonly Measured[]): void {
  const base = measured.at(-1) as Measured
  const width = Math.max(...measured.map(({ name }) => name.length))
  console.log(`\n${title}, ${base.rows.toLocaleString('en')} rows`)
  for (const { name, rowsPerSecond, rowsPerCpuSecond, peak, base: start } of measured) {
    const columns = [
      name.padEnd(width),
      `${Math.round(rowsPerSecond).toLocaleString('en').padStart(9)} rows/s`,
      `${(rowsPerSecond / base.rowsPerSecond).toFixed(2)} x`,
      `(per CPU second ${(rowsPerCpuSecond / base.rowsPerCpuSecond).toFixed(2)} x)`,
      `${Math.round(peak).toString().padStart(4)} MB (${Math.round(start)} at the start)`,
    ]
    console.log(columns.join('  '))
  }
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
