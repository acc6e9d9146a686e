import { invalid } from '../../adapter.js'

/** The options that say how the target of a table writes, as far as it has them. */
export interface WriteModeOptions {
  readonly strategy?: 'append' | 'replace'
  readonly swap?: string
  readonly maxShrink?: number
  readonly mode?: 'insert' | 'upsert'
  readonly key?: string | readonly string[]
  readonly skipUnchanged?: boolean
  readonly createTable?: boolean
  readonly onFullRefresh?: 'truncate' | 'merge' | 'refuse'
}

/** Throws `invalid_options` unless the options, each of which is valid, fit together. */
export function checkWriteMode(options: WriteModeOptions): void {
  const { strategy, mode, key, skipUnchanged, createTable, onFullRefresh } = options
  if (mode === 'upsert' && key === undefined)
    throw invalid('key', "the columns by which `upsert` finds the row of a record, such as `key: 'id'`", key)
  if (mode !== 'upsert' && key !== undefined && !createTable)
    throw invalid('key', 'absent unless `mode` is `upsert` or `createTable` is set', key)
  if (mode !== 'upsert' && skipUnchanged !== undefined)
    throw invalid('skipUnchanged', 'absent unless `mode` is `upsert`', skipUnchanged)
  if (strategy === 'replace') {
    if (onFullRefresh !== undefined)
      throw invalid('onFullRefresh', 'absent with the strategy `replace`, which replaces all rows', onFullRefresh)
    if (mode === 'upsert') throw invalid('mode', '`insert` with the strategy `replace`, which takes every record', mode)
    return
  }
  for (const name of ['swap', 'maxShrink'] as const) {
    if (options[name] !== undefined) throw invalid(name, 'absent without the strategy `replace`', options[name])
  }
  if (onFullRefresh === 'merge' && mode !== 'upsert')
    throw invalid('onFullRefresh', '`truncate` or `refuse` without the mode `upsert`', onFullRefresh)
}
