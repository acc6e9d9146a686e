import { badAnswer, jobKey, mapInTurns, rule } from '../base/index.js'
import { type ExecutionKey, type ExecutionRecord, isEnded, isLive } from '../model/index.js'
import { pauseIn } from './foreign-records.js'
import type { JobStorage } from './job-storage.js'
import type { OpenEnds, Pause, Pauses, ResetRequest, ResetResult } from './management.js'

/** Asks the storage and checks its answer. */
export type Answered = <Answer>(
  method: string,
  ask: () => Promise<unknown>,
  check: (answer: unknown) => Answer | Promise<Answer>,
) => Promise<Answer>

/** What an answer must be about: the fields that its executions have in common. */
export type Asked = { readonly [Field in keyof ExecutionKey]?: ExecutionKey[Field] | undefined }

/** Gives a valid record that is what was asked for, or `undefined`. */
export type RecordCheck = (value: unknown, asked: Asked) => ExecutionRecord | undefined

/** The optional members of a storage that manage jobs, with checked answers. */
export function checkedManagement(
  storage: JobStorage,
  answered: Answered,
  checked: RecordCheck,
): Pick<JobStorage, 'latest' | 'reset' | 'pauses' | 'ends'> {
  const { latest, reset, pauses, ends } = storage
  return {
    ...(latest && {
      latest: (jobs) => {
        const asked = new Set(jobs.map((job) => jobKey(job)))
        const check = async (answer: unknown) => {
          const records = await mapInTurns(listIn('latest', answer, jobs.length), (value) => checked(value, {}))
          return records.filter((record) => record !== undefined && asked.has(jobKey(record))) as ExecutionRecord[]
        }
        return answered('latest', () => latest.call(storage, jobs), check)
      },
    }),
    ...(reset && {
      reset: (type, id, request) => {
        const check = (answer: unknown) => resetIn(answer, request, (value) => checked(value, { type, id }))
        return answered('reset', () => reset.call(storage, type, id, request), check)
      },
    }),
    ...(pauses && { pauses: checkedPauses(pauses, answered) }),
    ...(ends && { ends: checkedEnds(ends, answered, checked) }),
  }
}

function checkedPauses(pauses: Pauses, answered: Answered): Pauses {
  return {
    pause: (scope, request) => {
      const check = (answer: unknown): Pause => {
        const pause = pauseIn(answer)
        if (pause && pause.type === scope.type && pause.id === scope.id) return pause
        throw badAnswer('storage', 'pauses.pause() of the storage', 'the pause', answer)
      }
      return answered('pauses.pause', () => pauses.pause(scope, request), check)
    },
    unpause: (scope) => {
      const check = (answer: unknown): boolean => {
        if (rule.flag.accepts(answer)) return answer as boolean
        throw badAnswer('storage', 'pauses.unpause() of the storage', rule.flag.expected, answer)
      }
      return answered('pauses.unpause', () => pauses.unpause(scope), check)
    },
    list: () => {
      const check = (answer: unknown) => listIn('pauses.list', answer).flatMap((value) => pauseIn(value) ?? [])
      return answered('pauses.list', () => pauses.list(), check)
    },
  }
}

function checkedEnds(ends: OpenEnds, answered: Answered, checked: RecordCheck): OpenEnds {
  return {
    claim: (request) => {
      const check = (answer: unknown) =>
        listIn('ends.claim', answer, request.size).flatMap((value) => {
          const record = checked(value, {})
          return record && isEnded(record.state) ? record : []
        })
      return answered('ends.claim', () => ends.claim(request), check)
    },
    settle: (executionId) => answered('ends.settle', () => ends.settle(executionId), nothing),
  }
}

function resetIn(
  answer: unknown,
  { executionId }: ResetRequest,
  checked: (value: unknown) => ExecutionRecord | undefined,
): ResetResult {
  const { reset, execution } = Object(answer ?? {}) as Partial<ResetResult>
  const record = execution === undefined ? undefined : checked(execution)
  const isMeant = executionId === undefined || record?.executionId === executionId
  const hasEnded = record ? isEnded(record.state) : execution === undefined
  const isRefused = !isMeant || (record !== undefined && isLive(record.state))
  if (typeof reset === 'boolean' && (reset ? isMeant && hasEnded : isRefused))
    return { reset, ...(record && { execution: record }) }
  const expected =
    '`reset`, and a valid `execution` of the job, which is live or not the one asked for unless it was reset'
  throw badAnswer('storage', 'reset() of the storage', expected, answer)
}

function listIn(method: string, answer: unknown, size = Number.POSITIVE_INFINITY): unknown[] {
  if (Array.isArray(answer) && answer.length <= size) return answer
  const expected = size === Number.POSITIVE_INFINITY ? 'an array' : `an array of up to ${size}`
  throw badAnswer('storage', `${method}() of the storage`, expected, answer)
}

function nothing(): void {}
