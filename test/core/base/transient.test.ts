import { isTransient, JobError } from 'headgate'
import { describe, expect, test } from 'vitest'

const coded = (code: string) => Object.assign(new Error('failed'), { code })

describe('isTransient', () => {
  test.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'ETIMEDOUT',
    'EAI_AGAIN',
    '08006',
    '40001',
    '40P01',
    '53300',
    '57P01',
    '57P03',
    '55P03',
    '55006',
    '25006',
    '25P03',
    '25P04',
    '40003',
    '57P02',
    '57P05',
    '53200',
    '72000',
    'HV00N',
    '08P01',
  ])('takes %s for what passes', (code) => {
    expect(isTransient(coded(code))).toBe(true)
    expect(isTransient(new JobError('datasource', 'outer', { cause: new AggregateError([coded(code)]) }))).toBe(true)
  })

  test.each([
    'ENOENT',
    'ENOSPC',
    'ENOTFOUND',
    '28P01',
    '42P01',
    '23505',
    '53100',
    '53400',
    '57014',
    '57P04',
    '25P02',
    '0A000',
    '080',
    '08006 ',
  ])('takes %s for what stays', (code) => {
    expect(isTransient(coded(code))).toBe(false)
  })

  test('takes a violation of the protocol for what passes only where it ends the connection, as that of a pooler does', () => {
    const violation = (severity: string) => Object.assign(coded('08P01'), { severity })
    expect(isTransient(violation('FATAL'))).toBe(true)
    expect(isTransient(violation('ERROR'))).toBe(false)
  })

  test('lets the outermost error that says so decide', () => {
    const passing = new JobError('datasource', 'inner', { isTransient: true })
    expect(isTransient(passing)).toBe(true)
    expect(isTransient(new JobError('target', 'outer', { cause: passing }))).toBe(true)
    expect(isTransient(new JobError('target', 'outer', { cause: passing, isTransient: false }))).toBe(false)
    expect(isTransient(new JobError('target', 'outer', { cause: coded('ECONNRESET'), isTransient: false }))).toBe(false)
  })

  test('never takes a mistake or a stop for what passes', () => {
    for (const code of ['invalid_options', 'aborted', 'lease_lost', 'closed', 'not_defined'] as const) {
      expect(
        isTransient(new JobError('target', 'outer', { cause: new JobError(code, 'no', { isTransient: true }) })),
      ).toBe(false)
    }
  })

  test.each([undefined, null, 'ECONNRESET', 7, {}])('takes %s for what stays', (thrown) => {
    expect(isTransient(thrown)).toBe(false)
  })
})
