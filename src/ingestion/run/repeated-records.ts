import type { ExecutionContext } from '../../core/execution/index.js'
import type { Target, TargetWriter } from '../contract/index.js'
import type { IngestionPlan } from '../definition/index.js'

type Warn = (context: Pick<ExecutionContext, 'warnOnce'>) => void

/** Whether a target holds a record twice that is written to it again, as far as its capabilities say. */
function holdsTwice({ strategy, capabilities: { writesIdempotently, onFullRefresh } = {} }: Target): boolean {
  return strategy !== 'replace' && !writesIdempotently && onFullRefresh !== 'merge'
}

/** Warns at the first run of a definition when its target would hold the records twice that `lookback` repeats. */
export function lookbackWarning({ cursor, target }: Pick<IngestionPlan, 'cursor' | 'target'>): Warn {
  let mustWarn = (cursor?.lookback ?? 0) > 0 && holdsTwice(target)
  return ({ warnOnce }) => {
    if (mustWarn) warnOnce(lookbackMessage(target.kind))
    mustWarn = false
  }
}

/**
 * Warns when a run begins from the beginning, although an earlier execution or try of the job has written to the target: the target would
 * hold the records of both. Where the target is empty, they are gone.
 */
export async function warnOfRepeats(
  { target }: Pick<IngestionPlan, 'target'>,
  context: ExecutionContext,
  writer: TargetWriter,
): Promise<void> {
  if (!holdsTwice(target) || !(await hasWrittenBefore(context))) return
  if ((await writer.isEmpty?.()) !== true) context.warnOnce(repeatsMessage(target.kind))
}

/** Warns when the cursor has more columns than the position, or drains ties now: the run reads the last record and its ties again. */
export function warnOfExtension(
  { target, cursor }: Pick<IngestionPlan, 'target' | 'cursor'>,
  { warnOnce }: Pick<ExecutionContext, 'warnOnce'>,
  position: unknown,
): void {
  const { columns, ties } = Object(Object(position).after) as { columns?: unknown; ties?: unknown }
  if (!cursor || !Array.isArray(columns) || !holdsTwice(target)) return
  const isExtended = columns.length < cursor.columns.length || (ties === 'refuse' && cursor.ties === 'drain')
  if (isExtended) warnOnce(extensionMessage(target.kind))
}

/** Whether this execution or an earlier one with the same parameters has written. Others may have selected other records. */
async function hasWrittenBefore({
  count,
  params,
  earlier,
}: Pick<ExecutionContext, 'count' | 'params' | 'earlier'>): Promise<boolean> {
  if (count > 0) return true
  // No run fails because of its warning.
  const executions = await earlier().catch(() => [])
  const own = JSON.stringify(params)
  return executions.some(
    ({ detail, params = {} }) => Number(Object(detail ?? {}).written) > 0 && JSON.stringify(params) === own,
  )
}

function repeatsMessage(kind: string): string {
  return (
    `This run begins from the beginning, although the job has written to the target before. The target [${kind}] appends, so that it ` +
    'holds the earlier records twice. Let each run resume where the last one ended, by a `cursor`. Or write records by their key, or replace ' +
    "the earlier ones, in a target that can, as `postgresTarget` does with `mode: 'upsert'` or `strategy: 'replace'`."
  )
}

function lookbackMessage(kind: string): string {
  return (
    `With \`lookback\`, each run writes the last records again, and the target [${kind}] appends them, so that it holds them twice. ` +
    "Write them by their key, as `postgresTarget` does with `mode: 'upsert'` and `key`, or omit `lookback`. " +
    'A target of your own that merges repeated records declares `writesIdempotently`.'
  )
}

function extensionMessage(kind: string): string {
  return (
    'The `cursor` has more columns than before, or drains ties now, so that this run reads the last record and its ties again. The target ' +
    `[${kind}] appends, so that it holds these twice: remove one of each, or write records by their key, as \`mode: 'upsert'\` does.`
  )
}
