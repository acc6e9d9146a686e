import { Inject, Logger, Module } from '@nestjs/common'
import { DiscoveryModule, DiscoveryService, HttpAdapterHost, MetadataScanner, ModuleRef } from '@nestjs/core'
import { isolatedLogger } from '../adapter.js'
import { createJobsHandler } from '../http/index.js'
import { type CloseOptions, JobRegistry, type JobRegistryOptions, type NamedDatasources } from '../index.js'
import { type Discovery, defineJobs } from './define-jobs.js'
import { HeadgateHealthIndicator } from './health-indicator.js'
import { getRegistryToken } from './job-decorator.js'
import {
  type ApiOptions,
  checkSettings,
  type HeadgateModuleAsyncOptions,
  type HeadgateModuleOptions,
  type HeadgateModuleSettings,
} from './module-options.js'
import { createController, type MountController, MountedHandler, routeController } from './mount.js'

/** A module for the `imports` of another one. */
export interface ConfiguredModule {
  /** The class of the module. */
  module: typeof HeadgateModule
}

/** What one registry of an application has. */
interface ModuleParts {
  readonly name: string | undefined
  readonly close: CloseOptions | undefined
  readonly controllers: readonly MountController[]
  readonly registry: JobRegistry
  readonly discovery: Discovery
  readonly host: HttpAdapterHost
}

const partsToken = Symbol('headgate parts')
const optionsToken = Symbol('headgate options')
const apiToken = Symbol('headgate api')

/**
 * Makes a {@link JobRegistry} for a Nest application, defines the jobs that `@Job` decorates when it starts, and closes the registry when
 * it shuts down. The module is global.
 */
export class HeadgateModule {
  readonly #parts: ModuleParts

  /** Nest calls it. */
  constructor(parts: ModuleParts) {
    this.#parts = parts
  }

  /** Makes a registry with the given options. Throws `invalid_options`. */
  static forRoot<Datasources extends NamedDatasources = NamedDatasources>(
    options: HeadgateModuleOptions<Datasources>,
  ): ConfiguredModule {
    const { name, imports, api, close, ...registryOptions } = options
    return configure(
      {
        ...(name !== undefined && { name }),
        ...(imports && { imports }),
        ...(api && { api }),
        ...(close && { close }),
      },
      { provide: optionsToken, useValue: registryOptions },
    )
  }

  /** Makes a registry with options that depend on other providers. Throws `invalid_options`. */
  static forRootAsync<const Tokens extends readonly unknown[] = readonly []>(
    options: HeadgateModuleAsyncOptions<Tokens>,
  ): ConfiguredModule {
    const { inject = [], useFactory } = options
    return configure(options, { provide: optionsToken, useFactory, inject: [...inject] })
  }

  /** Nest calls it before it registers routes. */
  configure(): void {
    const { controllers, host } = this.#parts
    for (const controller of controllers) routeController(controller, host)
  }

  /** Nest calls it when all modules are initialized, so that no job runs before. */
  onApplicationBootstrap(): void {
    const { registry, name, discovery } = this.#parts
    defineJobs(registry, name, discovery)
  }

  /**
   * Nest calls it before it closes the server, which waits for event streams and for requests that wait for jobs, and before other
   * providers close what jobs use.
   */
  async beforeApplicationShutdown(): Promise<void> {
    const { registry, close } = this.#parts
    await registry.close(close)
  }
}

Module({})(HeadgateModule)
Inject(partsToken)(HeadgateModule, undefined, 0)

function configure(settings: HeadgateModuleSettings, options: object): ConfiguredModule {
  checkSettings(settings)
  const { name, imports = [], api, close } = settings
  const token = getRegistryToken(name)
  const controllers = api ? [createController(api, apiToken)] : []
  const logger = new Logger(name === undefined ? 'Headgate' : `Headgate ${name}`)
  const openRegistry = (given: JobRegistryOptions) => new JobRegistry({ logger, ...given })
  const openApi = (registry: JobRegistry) =>
    new MountedHandler((basePath) => createApi(registry, api as ApiOptions, basePath, logger))
  const module = {
    module: HeadgateModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    controllers,
    providers: [
      options,
      { provide: token, useFactory: openRegistry, inject: [optionsToken] },
      {
        provide: HeadgateHealthIndicator,
        useFactory: (moduleRef: ModuleRef) => new HeadgateHealthIndicator(moduleRef),
        inject: [ModuleRef],
      },
      ...(api ? [{ provide: apiToken, useFactory: openApi, inject: [token] }] : []),
      {
        provide: partsToken,
        useFactory: (
          registry: JobRegistry,
          providers: DiscoveryService,
          scanner: MetadataScanner,
          moduleRef: ModuleRef,
          host: HttpAdapterHost,
        ): ModuleParts => ({
          ...{ name, close, controllers, registry, host },
          discovery: { providers, scanner, moduleRef },
        }),
        inject: [token, DiscoveryService, MetadataScanner, ModuleRef, HttpAdapterHost],
      },
    ],
    exports: [token, HeadgateHealthIndicator],
  }
  return module
}

function createApi(
  registry: JobRegistry,
  { path: _, guards: __, ...options }: ApiOptions,
  basePath: string,
  logger: Logger,
) {
  const { redactor } = registry
  return createJobsHandler(registry, { logger: isolatedLogger(logger, redactor), ...options, basePath })
}
