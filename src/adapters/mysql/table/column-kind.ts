import type { Row } from '../../../adapter.js'

/** How values are written to a column. */
export type Storage =
  | 'integer'
  | 'number'
  | 'float'
  | 'bits'
  | 'text'
  | 'label'
  | 'json'
  | 'bytes'
  | 'geometry'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'year'

/** A column of a table. */
export interface ColumnKind {
  /** The type, as the server shows it. */
  readonly sqlType: string
  readonly storage: Storage
  /** The digits of a second that it holds, or those of a `float` or `double` behind the point. */
  readonly digits: number
  /** The labels of an enumeration or a set. Another text of digits would be taken as the number of a label. */
  readonly labels: ReadonlySet<string>
  /** Whether a null would become the current time. */
  readonly refusesNull: boolean
  readonly isAutoIncrement: boolean
  readonly isNullable: boolean
}

const storages: Readonly<Record<string, Storage>> = {
  ...each('integer', ['tinyint', 'smallint', 'mediumint', 'int', 'bigint']),
  ...each('number', ['decimal']),
  ...each('float', ['float', 'double']),
  ...each('bytes', ['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob', 'vector']),
  ...each('label', ['enum', 'set']),
  ...each('timestamp', ['datetime', 'timestamp']),
  ...each('geometry', ['geometry', 'point', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon']),
  ...each('geometry', ['geometrycollection', 'geomcollection']),
  bit: 'bits',
  date: 'date',
  time: 'time',
  year: 'year',
  json: 'json',
}

function each(storage: Storage, types: readonly string[]): Record<string, Storage> {
  return Object.fromEntries(types.map((type) => [type, storage]))
}

/** The kind of a column, of which the server tells these facts. */
export function kindOf([dataType, columnType, isNullable, extra, digits]: Row): ColumnKind {
  const type = String(dataType).toLowerCase()
  const storage = storages[type] ?? 'text'
  return {
    sqlType: String(columnType),
    storage,
    digits: storage === 'float' ? decimalsOf(String(columnType)) : Number(digits ?? 0),
    labels: storage === 'label' ? labelsOf(String(columnType)) : new Set(),
    refusesNull: type === 'timestamp' && isNullable === 'NO',
    isAutoIncrement: /auto_increment/i.test(String(extra)),
    isNullable: isNullable === 'YES',
  }
}

/** The labels of `enum('a','it''s')`. */
function labelsOf(type: string): Set<string> {
  return new Set([...type.matchAll(/'((?:[^']|'')*)'/g)].map(([, label = '']) => label.replaceAll("''", "'")))
}

/** The digits behind the point of `double(8,2)`. A type without them has no limit. */
function decimalsOf(type: string): number {
  return Number(/^\w+\(\d+,(\d+)\)/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY)
}
