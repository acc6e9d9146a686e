import { renameSync, rmSync, symlinkSync, truncateSync } from 'node:fs'
import { errorMessages, isTransient } from 'headgate'
import { newExecutionId, RecordBatch, type TargetWriter } from 'headgate/adapter'
import { sqliteTarget } from 'headgate/sqlite'
import { describe, expect, test } from 'vitest'
import { rejectionOf } from '../postgres/datasource-read.js'
import { drivers, newFile, ownFolder } from './file-support.js'
import { firstValue } from './storage-support.js'

const folder = await ownFolder()
const context = {
  type: 'ingestion',
  id: 'changed',
  signal: new AbortController().signal,
  position: undefined,
  isResumed: false,
  isResumable: true,
}
const write = async (writer: TargetWriter, ...ids: number[]) =>
  writer.write(RecordBatch.fromRecords(ids.map((id) => ({ id }))), {
    ...context,
    executionId: 'a',
    idempotencyKey: 'a',
  })

describe.each(drivers)('over %s', (_, Database) => {
  describe.each(['delete', 'wal'])('in the journal mode %s', (mode) => {
    const fileOf = () => {
      const { path, database } = newFile(folder, Database, 'create table t (id integer)')
      database.prepare(`pragma journal_mode = ${mode}`).get()
      database.close()
      return path
    }
    const changes = {
      deleted: (path: string) => rmSync(path),
      replaced: (path: string) => renameSync(fileOf(), path),
      moved: (path: string) => renameSync(path, `${path}-moved`),
      linked: (path: string) => {
        renameSync(path, `${path}-moved`)
        symlinkSync(`${path}-moved`, path)
      },
    }
    const opened = async (path: string) =>
      (
        await sqliteTarget({ path, table: 't' }).open({
          ...context,
          executionId: newExecutionId('changed', Date.now()),
        })
      ).writer

    const expectFailure = async (work: unknown, path: string) => {
      const error = await rejectionOf(Promise.resolve(work))
      expect(errorMessages(error).join(' ')).toContain(
        `The file \`${path}\` was deleted or replaced while it was open.`,
      )
      expect(isTransient(error)).toBe(true)
    }

    test('a file that is emptied in place fails the job, unless the log has all of it', async () => {
      const path = fileOf()
      const writer = await opened(path)
      await write(writer, 1, 2)
      await writer.flush?.({})
      truncateSync(path)
      const error = await rejectionOf(Promise.resolve(writer.commit?.())).catch(() => undefined)
      if (error === undefined) return expect(countOf(path)).toBe(2)
      expect(errorMessages(error).join(' ')).toContain(`The file \`${path}\` was written over by another program`)
      expect(isTransient(error)).toBe(true)
    })

    describe.each(Object.entries(changes))('the file is %s', (name, change) => {
      test('within the last transaction', async () => {
        const path = fileOf()
        const writer = await opened(path)
        await write(writer, 1, 2)
        change(path)
        await expectFailure(writer.flush?.({}), path)
        expect(writer.isBroken).toBe(true)
        await writer.abort?.({ reason: undefined, leaseLost: false })
        if (name === 'moved' && mode === 'delete') expect(countOf(`${path}-moved`)).toBe(0)
      })

      test('right after the commit of a transaction', async () => {
        const path = fileOf()
        const hooked = new Database(path)
        class Changing extends (Database as unknown as new (...args: unknown[]) => typeof hooked) {
          override exec(sql: string): unknown {
            const answer = super.exec(sql)
            if (sql === 'commit' && isReady) change(path)
            return answer
          }
        }
        hooked.close()
        const database = new Changing(path)
        let isReady = false
        const target = sqliteTarget({ database, table: 't' })
        const { writer } = await target.open({ ...context, executionId: newExecutionId('changed', Date.now()) })
        await write(writer, 1, 2)
        isReady = true
        await expectFailure(writer.flush?.({}), path)
        isReady = false
        await writer.abort?.({ reason: undefined, leaseLost: false })
        database.close()
      })

      test('after the last checkpoint', async () => {
        const path = fileOf()
        const writer = await opened(path)
        await write(writer, 1, 2)
        await writer.flush?.({})
        change(path)
        await expectFailure(writer.commit?.(), path)
        await writer.abort?.({ reason: undefined, leaseLost: false })
      })
    })
  })

  describe.each([['-wal'], ['-shm'], ['-wal', '-shm']])(
    '%s of a file that others have open are deleted',
    (...endings) => {
      test.each(['a path', 'a link'])('fails the write to %s', async (how) => {
        const { path: real, database } = newFile(folder, Database, 'create table t (id integer)')
        database.prepare('pragma journal_mode = wal').get()
        firstValue(database, 'select count(*) from t')
        const path = how === 'a link' ? `${real}-link` : real
        if (how === 'a link') symlinkSync(real, path)
        const remove = () => {
          for (const ending of endings) rmSync(real + ending)
        }
        const opened = () =>
          sqliteTarget({ path, table: 't' }).open({ ...context, executionId: newExecutionId('changed', Date.now()) })
        const { writer } = await opened()
        await write(writer, 1, 2)
        await writer.flush?.({})
        await write(writer, 3)
        remove()
        const error = await rejectionOf(Promise.resolve(writer.flush?.({})))
        expect(errorMessages(error).join(' ')).toContain(`The file \`${real}${endings[0]}\` was deleted or replaced`)
        expect(isTransient(error)).toBe(true)
        await writer.abort?.({ reason: undefined, leaseLost: false })
        database.close()
      })
    },
  )

  function countOf(path: string): unknown {
    const database = new Database(path)
    try {
      return firstValue(database, 'select count(*) from t')
    } finally {
      database.close()
    }
  }
})
