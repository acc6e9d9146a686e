import { type INestApplication, type ModuleMetadata, RequestMethod } from '@nestjs/common'
import type { AbstractHttpAdapter } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import { Test, type TestingModule } from '@nestjs/testing'
import { onTestFinished } from 'vitest'

/** The servers of Nest. */
export const platforms: [name: string, open: () => AbstractHttpAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
]

/** The logger of the applications. */
export const silent = { log: () => {}, warn: () => {}, error: () => {} }

/** An application without a server, that is closed when the test has finished. */
export async function start(metadata: ModuleMetadata): Promise<TestingModule> {
  const app = await compile(metadata)
  return await app.init()
}

/** The same, before it starts. */
export async function compile(metadata: ModuleMetadata): Promise<TestingModule> {
  const app = await Test.createTestingModule(metadata).setLogger(silent).compile()
  onTestFinished(() => app.close())
  return app
}

/** An application that listens, and its URL. */
export async function listen(
  metadata: ModuleMetadata,
  adapter: AbstractHttpAdapter,
  { prefix, prepare }: { prefix?: string; prepare?: (app: INestApplication) => void } = {},
): Promise<{ app: INestApplication; url: string }> {
  const module = await Test.createTestingModule(metadata).setLogger(silent).compile()
  const app = module.createNestApplication(adapter)
  if (prefix !== undefined) app.setGlobalPrefix(prefix, { exclude: [{ path: 'health', method: RequestMethod.GET }] })
  prepare?.(app)
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  return { app, url: await app.getUrl() }
}
