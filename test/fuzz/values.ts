import fc from 'fast-check'

/** The types of columns, and values of each as Postgres reads them. */
export const valuesOf: Readonly<Record<string, fc.Arbitrary<string>>> = {
  int4: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(String),
  int8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  text: fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\0', '')),
    fc.constantFrom('', '\\N', '\\.', '\\', '\t', '\r\n', '"', "'", '{', ',', '\u2028', '💧', 'constructor'),
  ),
  boolean: fc.boolean().map(String),
  jsonb: fc.json({ noUnicodeString: true, maxDepth: 2 }).map((json) => json.replaceAll('\\u0000', '')),
  float8: fc.oneof(fc.constantFrom('NaN', 'Infinity', '-0', '1e-300'), fc.double({ noNaN: true }).map(String)),
  numeric: fc.oneof(
    fc.constantFrom('NaN', '0.10', '-1e100'),
    fc.bigInt().map((digits) => `${digits}.50`),
  ),
  timestamptz: fc.constantFrom(
    'infinity',
    '0044-03-15 00:00+00 BC',
    '2024-01-01 00:00:00.123456+05:30',
    '99999-01-01Z',
  ),
  bytea: fc.uint8Array({ maxLength: 30 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
  'text[]': fc.constantFrom('{}', '{a,NULL,"b c"}', '{{1,2},{3,4}}', '{"\\"","\\\\"}'),
  'numeric(6,2)': fc.integer({ min: -9999, max: 9999 }).map(String),
  int4range: fc.constantFrom('empty', '[1,5)', '(,3]'),
}

/** Types whose JSON can be told without headgate. */
export const typesInFiles = ['int4', 'int8', 'text', 'boolean']

/** A column of a key: its type, and its value in row `n`, which rises with `n`. */
export interface KeyColumn {
  readonly name: string
  readonly type: string
  readonly value: string
}

const id = (type: string, value: string): readonly KeyColumn[] => [{ name: 'id', type, value }]

/** The keys that a source may have. */
export const keys = {
  int4: id('int4', 'n'),
  int8: id('int8', '9007199254740993 + n'),
  numeric: id('numeric', 'case when n % 2 = 0 then n else n + 0.50 end'),
  bytes: id('text collate "C"', `'K' || lpad(n::text, 6, '0')`),
  words: id('text collate "en-x-icu"', `case when n % 2 = 0 then 'é' else 'É' end || lpad(n::text, 6, '0')`),
  time: id('timestamptz', `timestamptz '2024-01-01 00:00Z' + n * interval '1 microsecond'`),
  uuid: id('uuid', `('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`),
  pair: [
    { name: 'major', type: 'int4', value: 'n / 10' },
    { name: 'minor', type: 'text', value: '(n % 10)::text' },
  ],
} satisfies Record<string, readonly KeyColumn[]>

export type KeyKind = keyof typeof keys
