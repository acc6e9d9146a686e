import { errorMessages, isTransient, JobError, JobRegistry, jobErrorCodes, memoryStorage } from 'headgate'
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

  it('keeps what Postgres says beside its message, bounded and redacted', () => {
    const said = { severity: 'ERROR', schema: 'public', table: 't', constraint: 't_pkey', where: 'COPY t, line 2' }
    const error = Object.assign(new Error('duplicate key'), said)
    expect(errorMessages(Object.assign(error, { detail: 'Key (id)=(1) already exists.' }))).toEqual([
      'duplicate key. Key (id)=(1) already exists. At COPY t, line 2. In `public.t`, constraint `t_pkey`.',
    ])
    expect(errorMessages(Object.assign(error, { detail: 'password=hunter2' }))[0]).not.toContain('hunter2')
    expect(errorMessages(Object.assign(error, { detail: 'x'.repeat(10_000) }))[0]?.length).toBeLessThan(600)
    expect(errorMessages(Object.assign(new Error('mine'), { detail: 'more' }))).toEqual(['mine'])
  })

  it('escapes what moves the cursor or reorders a line, but neither tabs nor line breaks', () => {
    const record = 'a\u0000b\u001b[2Jc\rd\u0085e\u009bf\u202eh\u007fi'
    const escaped = 'a\\u0000b\\u001b[2Jc\\u000dd\\u0085e\\u009bf\\u202eh\\u007fi'
    expect(errorMessages(new Error(`got ${record}`))).toEqual([`got ${escaped}`])
    const said = { severity: 'ERROR', detail: `Key (id)=(${record}) already exists.` }
    expect(errorMessages(Object.assign(new Error('no'), said))).toEqual([`no. Key (id)=(${escaped}) already exists.`])
    const query = 'syntax error in\r\nselect\t1\nfrom t 👍'
    expect(errorMessages(new Error(query))).toEqual([query])
    expect(errorMessages(new Error('\u0001'.repeat(5000)))[0]).toHaveLength(2001)
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

const throws = () => {
  throw new Error('no')
}

/** Errors that are made to do harm, and the messages that are shown of them. */
const hostile: [what: string, error: () => unknown, messages: unknown][] = [
  [
    '50,000 causes',
    () => deep(50_000),
    ['level 50000', ...Array.from({ length: 19 }, (_, at) => `level ${49_999 - at}`)],
  ],
  ['50,000 causes of one message', () => deep(50_000, () => 'same'), ['same']],
  [
    '50,000 inner errors of one message',
    () =>
      new AggregateError(
        Array(50_000)
          .fill(null)
          .map(() => new Error('one')),
        'all',
      ),
    ['all', 'one'],
  ],
  [
    'a cause beside many inner errors',
    () =>
      new AggregateError(
        Array(50_000)
          .fill(null)
          .map(() => new Error('one')),
        'all',
        { cause: new Error('why') },
      ),
    ['all', 'one', 'why'],
  ],
  [
    'inner errors within each other',
    () => {
      const errors: unknown[] = []
      errors.push(errors, { message: 'a', errors })
      return { message: 'b', errors }
    },
    ['b', 'a'],
  ],
  ['a length that throws', () => ({ message: 'a', errors: new Proxy([], { get: throws }) }), ['a']],
  [
    'a proxy that throws',
    () => new Proxy({}, { get: throws, has: throws, getPrototypeOf: throws, ownKeys: throws }),
    ['Unknown error.'],
  ],
  [
    'a proxy that was revoked',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    },
    ['Unknown error.'],
  ],
  ['a cause that throws', () => Object.defineProperty(new Error('a'), 'cause', { get: throws }), ['a']],
  [
    'a cause that is new each time',
    () => {
      const endless = (): object => ({
        message: 'a',
        get cause() {
          return endless()
        },
      })
      return endless()
    },
    ['a'],
  ],
  ['a message that is no text', () => ({ message: { toString: throws } }), ['Unknown error.']],
  ['a function', () => Object.assign(() => {}, { toString: throws, message: 'a' }), ['a']],
  ['a message of 30 MB', () => new Error('x'.repeat(3e7)), [`${'x'.repeat(2000)}…`]],
]

function deep(depth: number, message = (level: number) => `level ${level}`): Error {
  let error = new Error(message(0))
  for (let level = 1; level <= depth; level++) error = new Error(message(level), { cause: error })
  return error
}

describe.each(hostile)('an error with %s', (_, make, messages) => {
  it('is shown', () => expect(errorMessages(make())).toEqual(messages))

  it('says at once whether it passes', () => expect(isTransient(make())).toBe(false))

  it('ends its job', async () => {
    const told: unknown[] = []
    const tell = (details: object) => told.push(details)
    const logger = { debug: () => {}, info: () => {}, warn: tell, error: tell }
    const registry = new JobRegistry({ storage: memoryStorage(), logger })
    registry.on('error', () => {
      throw make()
    })
    registry.define({ type: 'test', id: 'a', run: () => Promise.reject(make()) })
    const { finished } = await registry.start('test', 'a')
    expect(await finished).toMatchObject({ state: 'error', error: messages })
    expect(await registry.status('test', 'a')).toMatchObject({ state: 'error', error: messages })
    const [failure, ofListener] = told
    expect(failure).toMatchObject({ type: 'test', id: 'a', state: 'error', error: messages })
    expect([ofListener, ...told.slice(2)]).toEqual([{ type: 'test', id: 'a', error: messages }])
    await registry.close()
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
