import { join } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { root } from '../support/source.js'

const program = `
import Koa from 'koa'
import type { JobsHandler } from '../../src/http/index.js'
import { toKoaMiddleware } from '../../src/http/mounts/koa.js'

declare const handler: JobsHandler
new Koa().use(toKoaMiddleware(handler))
new Koa<{ user?: string }>().use(toKoaMiddleware(handler))
`

// Other tests import a body parser, which adds a `body` to Koa's request everywhere.
test('the middleware has a type that Koa accepts without a body parser', () => {
  const file = join(root, 'test/http/koa-program.ts')
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists } = host
  host.fileExists = (name) => name === file || fileExists(name)
  host.getSourceFile = (name, language, ...more) =>
    name === file ? ts.createSourceFile(name, program, language) : getSourceFile(name, language, ...more)
  const compiled = ts.createProgram([file], { ...options, noEmit: true, incremental: false }, host)
  const found = compiled.getSemanticDiagnostics(compiled.getSourceFile(file))
  expect(compiled.getSourceFiles().some(({ fileName }) => fileName.includes('@types/koa/'))).toBe(true)
  expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([])
}, 60_000)
