import type { OpenEnds, PauseScope, Pauses } from '../../../adapter.js'
import type { TextRow, Value } from './database.js'
import { isStorable, jsonOf, splitId, toPause, toRecord } from './rows.js'

/** Runs one of the statements. */
type Ask = (
  statement: 'pause' | 'unpause' | 'pauses' | 'claimEnds' | 'settleEnd',
  values?: readonly Value[],
) => Promise<readonly TextRow[]>

/** The pauses of a storage. */
export function pausesBy(ask: Ask): Pauses {
  return {
    pause: async (scope, { reason, by }) => {
      const [row] = await ask('pause', [...namesOf(scope), jsonOf(reason), jsonOf(by)])
      return toPause(row as TextRow)
    },
    unpause: async (scope) => (await ask('unpause', namesOf(scope))).length > 0,
    list: async () => (await ask('pauses')).map(toPause),
  }
}

/** The open ends of a storage. */
export function endsBy(ask: Ask): OpenEnds {
  return {
    claim: async ({ node, lease, size, except = [] }) => {
      const left = except.filter(({ type, id }) => isStorable(type + id)).map(({ type, id }) => [type, id])
      return (await ask('claimEnds', [node, lease, size, jsonOf(left)])).map(toRecord)
    },
    settle: async (executionId) => {
      const key = splitId(executionId)
      if (key) await ask('settleEnd', [key.uuid, key.id])
    },
  }
}

/** The type and id of what is paused: empty for all jobs. */
function namesOf({ type = '', id = '' }: PauseScope): Value[] {
  return [type, id]
}
