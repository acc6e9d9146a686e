/**
 * A process that uses a SQLite storage, and tells on standard output what was acknowledged:
 * `sqlite-process <path> <what to do, as JSON>`.
 */
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { errorMessages, type JobStorage } from 'headgate'
import { sqliteStorage } from 'headgate/sqlite'

/** What to do. */
export type Task =
  | { do: 'run'; id: string }
  | { do: 'compete'; time: number }
  | { do: 'write'; id: string }
  | { do: 'watch'; isClosed: boolean }

/** What a writer tells: the step that was acknowledged, and of which execution. */
export interface Acknowledged {
  readonly step: 'begin' | 'save' | 'finish'
  readonly epoch: number
  readonly count: number
}

const [path = '', task = ''] = process.argv.slice(2)
const storage = sqliteStorage({ path })
await perform(JSON.parse(task) as Task)

async function perform(task: Task): Promise<void> {
  if (task.do === 'run') return runOnce(task.id)
  if (task.do === 'compete') return compete(task.time)
  if (task.do === 'write') return write(task.id)
  storage.watch?.(() => undefined)
  await storage.find('test', 'a')
  if (task.isClosed) await storage.close?.()
}

async function runOnce(id: string): Promise<void> {
  const { started, execution } = await begin(storage, id)
  await storage.finish(execution, { state: 'successful' })
  say({ started })
}

/** Waits for a word on standard input, then starts the job again and again, against others who do the same. */
async function compete(time: number): Promise<void> {
  say({ ready: true })
  await once(process.stdin, 'data')
  process.stdin.destroy()
  let started = 0
  for (const end = Date.now() + time; Date.now() < end; ) {
    const begun = await begin(storage, 'contended')
    if (begun.started) {
      started++
      await setTimeout(Math.random() * 3)
      if (!(await storage.finish(begun.execution, { state: 'successful' }))) say({ lost: begun.execution.epoch })
    }
    await setTimeout(Math.random() * 3)
  }
  say({ started })
}

/** Writes until it is killed, or until the disk is full. */
async function write(id: string): Promise<void> {
  let acknowledged: Acknowledged | undefined
  const acknowledge = (step: Acknowledged['step'], epoch: number, count: number) => {
    acknowledged = { step, epoch, count }
    say(acknowledged)
  }
  try {
    while (true) {
      const { execution } = await begin(storage, id)
      acknowledge('begin', execution.epoch, 0)
      for (let count = 1; count <= 3; count++) {
        const checkpoint = { count, text: 'x'.repeat(500) }
        await storage.renew(execution, { lease: 60_000, count, lastId: String(count), checkpoint })
        acknowledge('save', execution.epoch, count)
      }
      await storage.finish(execution, { state: 'successful' })
      acknowledge('finish', execution.epoch, 3)
    }
  } catch (error) {
    say({ errors: errorMessages(error), acknowledged, found: await storage.find('test', id) })
  }
}

function begin(storage: JobStorage, id: string) {
  return storage.begin({ type: 'test', id, state: 'running', node: String(process.pid), lease: 60_000 })
}

function say(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`)
}
