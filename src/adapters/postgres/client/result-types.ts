import { parse } from 'postgres-array'
import type { PostgresClient } from './pool.js'

type Parser = (raw: string) => unknown

const text: Parser = (raw) => raw
const flag: Parser = (raw) => raw === 't'
const arrayOf =
  (item: Parser): Parser =>
  (raw) =>
    parse(raw, item)

/** The types of what headgate asks for, by their oids. Everything else is its text. */
const parsers: ReadonlyMap<number, Parser> = new Map([
  [16, flag],
  [17, (raw) => Buffer.from(raw.slice(2), 'hex')],
  ...[21, 23, 26, 700, 701].map((oid) => [oid, Number] as const),
  ...[114, 3802].map((oid) => [oid, JSON.parse as Parser] as const),
  [1000, arrayOf(flag)],
  ...[1005, 1007, 1028].map((oid) => [oid, arrayOf(Number)] as const),
  ...[1002, 1003, 1009, 1016].map((oid) => [oid, arrayOf(text)] as const),
])

/**
 * How pg reads the results of headgate's own statements: as pg does by itself, whatever parsers the application has set for all clients or
 * for its pool.
 */
export function resultTypes(client: PostgresClient): ResultTypes {
  return {
    getTypeParser: (oid, format) =>
      (format === 'binary' && client.getTypeParser?.(oid, format)) || (parsers.get(oid) ?? text),
  }
}

interface ResultTypes {
  getTypeParser(oid: number, format: 'text' | 'binary'): Parser
}
