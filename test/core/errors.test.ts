import { errorMessages, JobError, jobErrorCodes, redact } from 'headgate'
import { describe, expect, it } from 'vitest'

describe('errorMessages', () => {
  it('gives the cause chain, outermost first', () => {
    const driver = new Error('connect ECONNREFUSED 127.0.0.1:1')
    const error = new JobError('datasource', 'Could not read.', {
      cause: new Error('No connection.', { cause: driver }),
    })
    expect(errorMessages(error)).toEqual(['Could not read.', 'No connection.', 'connect ECONNREFUSED 127.0.0.1:1'])
  })

  it('lists what an AggregateError holds', () => {
    const error = new AggregateError([new Error('v6 refused'), new Error('v4 refused')], '')
    expect(errorMessages(new Error('No connection.', { cause: error }))).toEqual([
      'No connection.',
      'AggregateError',
      'v6 refused',
      'v4 refused',
    ])
  })

  it('drops repeats in a row and ends at a cycle', () => {
    const inner: Error = new Error('same')
    const outer = new Error('same', { cause: inner })
    inner.cause = outer
    expect(errorMessages(outer)).toEqual(['same'])
  })

  it('is bounded in number and length', () => {
    let error = new Error('x'.repeat(10_000))
    for (let depth = 0; depth < 1000; depth++) error = new Error(`level ${depth}`, { cause: error })
    expect(errorMessages(error)).toHaveLength(20)
    expect(errorMessages(new Error('x'.repeat(10_000)))[0]).toHaveLength(2001)
  })

  it.each([
    ['text', ['text']],
    [42, ['42']],
    [undefined, ['Unknown error.']],
    [null, ['Unknown error.']],
    [{}, ['Unknown error.']],
    [{ code: 'ENOENT' }, ['ENOENT']],
    [Object.create(null), ['Unknown error.']],
    [Symbol('thrown'), ['Symbol(thrown)']],
  ])('makes something of %o', (thrown, messages) => {
    expect(errorMessages(thrown)).toEqual(messages)
  })

  it('survives an error whose message cannot be read', () => {
    const hostile = {
      get message(): string {
        throw new Error('no')
      },
    }
    expect(errorMessages(new Error('outer', { cause: hostile }))).toEqual(['outer'])
  })
})

describe('redact', () => {
  it.each([
    ['postgres://user:s3cret@host/db is wrong', 'postgres://user:***@host/db is wrong'],
    ['postgres://user:s3/c@r:et@host/db', 'postgres://user:***@host/db'],
    ['redis://:s3cret@host', 'redis://:***@host'],
    ["host=x password='s3 cret' user=y", 'host=x password=*** user=y'],
    ['{"password":"s3cret","user":"y"}', '{"password":***,"user":"y"}'],
    ['Password: s3cret', 'Password: ***'],
    ['password authentication failed for user "y"', 'password authentication failed for user "y"'],
    ['http://host:8080/path', 'http://host:8080/path'],
  ])('blanks the secrets of %s', (text, redacted) => {
    expect(redact(text)).toBe(redacted)
  })
})

describe('JobError', () => {
  it('is known across copies of the package', () => {
    const foreign = { [Symbol.for('headgate.JobError')]: true, code: 'closed', message: 'x' }
    expect([new JobError('closed', 'x'), foreign, new Error('x'), null, 'x'].map(JobError.isInstance)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('has a sentence for every code', () => {
    for (const sentence of Object.values(jobErrorCodes)) expect(sentence).toMatch(/^[A-Z].*\.$/)
  })
})
