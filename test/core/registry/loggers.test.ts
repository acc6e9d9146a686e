import { Console } from 'node:console'
import { PassThrough, Writable } from 'node:stream'
import { ConsoleLogger } from '@nestjs/common'
import { JobRegistry, type JobRegistryOptions, memoryStorage } from 'headgate'
import pino from 'pino'
import { describe, expect, it, vi } from 'vitest'
import winston from 'winston'

type Logged = NonNullable<JobRegistryOptions['logger']>

/** A stream, and the text that was written to it. */
function memory(): { stream: Writable; text: () => string } {
  const chunks: string[] = []
  const stream = new Writable({
    write(chunk, _, done) {
      chunks.push(String(chunk))
      done()
    },
  })
  return { stream, text: () => chunks.join('') }
}

const loggers: Record<string, () => { logger: Logged; text: () => string }> = {
  pino: () => {
    const { stream, text } = memory()
    return { logger: pino({}, stream), text }
  },
  winston: () => {
    const { stream, text } = memory()
    return { logger: winston.createLogger({ transports: [new winston.transports.Stream({ stream })] }), text }
  },
  console: () => {
    const { stream, text } = memory()
    return { logger: new Console(stream, new PassThrough().pipe(stream)), text }
  },
  Nest: () => {
    const { stream, text } = memory()
    for (const name of ['stdout', 'stderr'] as const) {
      vi.spyOn(process[name], 'write').mockImplementation((chunk) => stream.write(chunk))
    }
    return { logger: new ConsoleLogger({ json: true, compact: true }), text }
  },
}

describe.each(Object.entries(loggers))('the logger of %s', (_, open) => {
  it('writes that a job runs, succeeds and fails, with the fields and the stack', async () => {
    const { logger, text } = open()
    const registry = new JobRegistry({ storage: memoryStorage(), logger })
    registry.define({ type: 'test', id: 'good', run: () => {} })
    registry.define({
      type: 'test',
      id: 'bad',
      run: function failing() {
        throw new TypeError('There is no such table.')
      },
    })
    for (const id of ['good', 'bad']) await (await registry.start('test', id)).finished
    const { executionId } = Object(await registry.status('test', 'bad'))
    await registry.close()
    vi.restoreAllMocks()
    for (const sentence of [
      'Job [test/good] runs.',
      'Job [test/good] was successful.',
      'Job [test/bad] failed: There is no such table.',
    ]) {
      expect(text()).toContain(sentence)
    }
    expect(text()).toContain(executionId)
    expect(text()).toMatch(/at \S*failing/)
  })

  it('writes the stack and the message of the last cause, and of the first error', async () => {
    const entries: { stack?: string; message: string }[] = []
    const nothing = () => {}
    const error = (details: object, message: string) => void entries.push({ ...details, message })
    await using registry = new JobRegistry({
      storage: memoryStorage(),
      logger: { debug: nothing, info: nothing, warn: nothing, error },
    })
    function ofTheUser(): never {
      throw new TypeError('no such name')
    }
    const nested = (depth: number): Error => {
      try {
        return depth === 0 ? ofTheUser() : new Error('outer '.repeat(500), { cause: nested(depth - 1) })
      } catch (cause) {
        return new Error('inner', { cause })
      }
    }
    registry.define({
      type: 'test',
      id: 'a',
      run() {
        throw new Error('The report failed', { cause: nested(6) })
      },
    })
    await (await registry.start('test', 'a')).finished
    const [entry] = entries
    expect(entry?.message).toBe('Job [test/a] failed: The report failed. Cause: no such name')
    expect(entry?.stack).toMatch(
      /^Error: The report failed\n[\s\S]*\[cause\]: TypeError: no such name\n\s+at \S*ofTheUser/,
    )
    expect(entry?.stack?.length).toBeLessThan(10_000)
  })
})
