import { Inject, Logger, Module } from '@nestjs/common'
import { DiscoveryModule, DiscoveryService, HttpAdapterHost, MetadataScanner, ModuleRef } from '@nestjs/core'
import { checkValue, isolatedLogger, rule } from '../adapter.js'
import { createDashboardHandler } from '../dashboard/index.js'
import { createJobsHandler, type JobsHandler, type JobsHandlerOptions } from '../http/index.js'
import { type CloseOptions, JobRegistry, type JobRegistryOptions, type NamedDatasources } from '../index.js'
import { type Discovery, defineJobs } from './define-jobs.js'
import { HeadgateHealthIndicator } from './health-indicator.js'
import { getRegistryToken } from './job-decorator.js'
import {
  checkAsyncOptions,
  checkSettings,
  type HeadgateModuleAsyncOptions,
  type HeadgateModuleOptions,
  type HeadgateModuleSettings,
} from './module-options.js'
import { createController, type MountController, MountedHandler, type MountOptions, routeController } from './mount.js'
import type { MethodScanner, ProviderList, ProviderLookup, ServerHost } from './nest.js'

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
  readonly host: ServerHost
}

const partsToken = Symbol('headgate parts')
const optionsToken = Symbol('headgate options')

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
    checkValue('options', options, rule.anObject)
    const { name, imports, api, dashboard, close, ...registryOptions } = options
    const settings = { name, imports, api, dashboard, close } as HeadgateModuleSettings
    return configure(settings, { provide: optionsToken, useValue: registryOptions })
  }

  /** Makes a registry with options that depend on other providers. Throws `invalid_options`. */
  static forRootAsync<const Tokens extends readonly unknown[] = readonly []>(
    options: HeadgateModuleAsyncOptions<Tokens>,
  ): ConfiguredModule {
    checkAsyncOptions(options as HeadgateModuleAsyncOptions)
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
  const { name, imports = [], close } = settings
  const token = getRegistryToken(name)
  const logger = new Logger(name === undefined ? 'Headgate' : `Headgate ${name}`)
  const mounts = mountsOf(settings, logger)
  const controllers = mounts.map((mount) => mount.controller)
  const module = {
    module: HeadgateModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    controllers,
    providers: [
      options,
      {
        provide: token,
        useFactory: (given: JobRegistryOptions) => new JobRegistry({ logger, ...given }),
        inject: [optionsToken],
      },
      {
        provide: HeadgateHealthIndicator,
        useFactory: (lookup: ProviderLookup) => new HeadgateHealthIndicator(lookup),
        inject: [ModuleRef],
      },
      ...mounts.map(({ handler, create }) => ({
        provide: handler,
        useFactory: (registry: JobRegistry) => new MountedHandler((basePath) => create(registry, basePath)),
        inject: [token],
      })),
      {
        provide: partsToken,
        useFactory: (
          registry: JobRegistry,
          providers: ProviderList,
          scanner: MethodScanner,
          lookup: ProviderLookup,
          host: ServerHost,
        ): ModuleParts => ({
          ...{ name, close, controllers, registry, host },
          discovery: { providers, scanner, lookup, warn: (message) => logger.warn(message) },
        }),
        inject: [token, DiscoveryService, MetadataScanner, ModuleRef, HttpAdapterHost],
      },
    ],
    exports: [token, HeadgateHealthIndicator],
  }
  return module
}

/** A handler and the controller that passes requests to it. */
interface Mount {
  /** The injection token of its {@link MountedHandler}. */
  readonly handler: symbol
  readonly controller: MountController
  create(registry: JobRegistry, basePath: string): JobsHandler
}

function mountsOf({ api, dashboard }: HeadgateModuleSettings, logger: Logger): Mount[] {
  return [
    ...(api ? [mountOf(api, logger, createJobsHandler)] : []),
    ...(dashboard ? [mountOf(dashboard, logger, createDashboardHandler)] : []),
  ]
}

function mountOf<Options extends JobsHandlerOptions>(
  { path, guards, ...options }: MountOptions & Omit<Options, 'basePath'>,
  logger: Logger,
  create: (registry: JobRegistry, options: Options) => JobsHandler,
): Mount {
  const handler = Symbol(`headgate ${path}`)
  return {
    handler,
    controller: createController({ path, ...(guards && { guards }) }, handler),
    create: (registry, basePath) => {
      const log = isolatedLogger(logger, registry.redactor)
      return create(registry, { logger: log, ...options, basePath } as unknown as Options)
    },
  }
}
