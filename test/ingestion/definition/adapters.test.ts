import { type Datasource, JobRegistry, memoryStorage, type Target } from 'headgate'
import { expect, it } from 'vitest'

const datasource = { kind: 'a', read: async function* () {} } as unknown as Datasource
const target = { kind: 'a', open: () => ({ writer: { write: () => undefined } }) } as unknown as Target

function define(job: object): void {
  new JobRegistry({ storage: memoryStorage() }).define({ id: 'a', datasource, target, ...job })
}

it.each<[string, object]>([
  ['datasource.kind', { datasource: { ...datasource, kind: Symbol('a') } }],
  ['target.kind', { target: { ...target, kind: Symbol('a') } }],
  ['target.strategy', { target: { ...target, strategy: 'zap' } }],
])('define refuses a wrong `%s`', (field, job) => {
  const message = expect.stringContaining(`Expected \`${field}\` to be`)
  expect(() => define(job)).toThrow(expect.objectContaining({ code: 'invalid_options', message }))
})

it('a registry refuses a datasource with a wrong kind', () => {
  const datasources = { a: { ...datasource, kind: Symbol('a') } } as never
  const message = expect.stringContaining('Expected `datasources.a.kind` to be')
  expect(() => new JobRegistry({ storage: memoryStorage(), datasources })).toThrow(
    expect.objectContaining({ code: 'invalid_options', message }),
  )
})
