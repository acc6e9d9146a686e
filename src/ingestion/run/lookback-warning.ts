import type { ExecutionContext } from '../../core/execution/index.js'
import type { IngestionPlan } from '../definition/index.js'

type Warn = (context: Pick<ExecutionContext, 'warnOnce'>) => void

/** Warns at the first run of a definition when its target would hold the records twice that `lookback` repeats. */
export function lookbackWarning({ cursor, target }: Pick<IngestionPlan, 'cursor' | 'target'>): Warn {
  const { writesIdempotently, onFullRefresh } = target.capabilities ?? {}
  const keepsOne = writesIdempotently || onFullRefresh === 'merge'
  let mustWarn = (cursor?.lookback ?? 0) > 0 && !keepsOne
  return ({ warnOnce }) => {
    if (mustWarn) warnOnce(messageFor(target.kind))
    mustWarn = false
  }
}

function messageFor(kind: string): string {
  return (
    `With \`lookback\`, each run writes the last records again, and the target [${kind}] appends them, so that it holds them twice. ` +
    "Write them by their key, as `postgresTarget` does with `mode: 'upsert'` and `key`, or omit `lookback`. " +
    'A target of your own that merges repeated records declares `writesIdempotently`.'
  )
}
