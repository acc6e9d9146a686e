import { parse } from 'lossless-json'

/** A number that JavaScript may not hold. */
const long = /\d{16}/

/** Parses JSON with all digits: integers that a number does not hold become bigints. */
export function parseExact(text: string): unknown {
  return long.test(text) ? parse(text, undefined, numberFrom) : JSON.parse(text)
}

function numberFrom(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text)
}

/** What stands for a bigint until its digits take its place. No text of JSON has this character. */
const mark = '\ue000bigint:'
const marked = new RegExp(`"${mark}(-?\\d+)"`, 'g')

/** The JSON of a request, with all digits of bigints. */
export function stringifyExact(value: unknown): string {
  let hasBigints = false
  const text = JSON.stringify(value, (_, part) => {
    if (typeof part !== 'bigint') return part
    hasBigints = true
    return `${mark}${part}`
  })
  return hasBigints ? text.replaceAll(marked, '$1') : text
}
