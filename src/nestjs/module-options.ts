import { checkOptions, rule } from '../adapter.js'
import type { DashboardOptions } from '../dashboard/index.js'
import type { JobsHandlerOptions } from '../http/index.js'
import type { CloseOptions, JobRegistryOptions, NamedDatasources } from '../index.js'
import type { MountOptions } from './mount.js'

/** Where and how `HeadgateModule` serves the HTTP API: the options of `createJobsHandler`, with a path and guards in place of `basePath`. */
export interface ApiMountOptions extends MountOptions, Omit<JobsHandlerOptions, 'basePath'> {}

/** Where and how `HeadgateModule` serves the dashboard: the options of `createDashboardHandler`, with a path and guards in place of `basePath`. */
export interface DashboardMountOptions extends MountOptions, Omit<DashboardOptions, 'basePath'> {}

/** The options of `HeadgateModule` that Nest needs before it makes any provider. */
export interface HeadgateModuleSettings {
  /** The name of the registry, for applications with several. Default: none. */
  name?: string
  /** Modules whose providers `inject` and `guards` need. Default: none. */
  imports?: readonly unknown[]
  /** Serves the HTTP API. Without `guards` or `authorize`, every caller may make every call. Default: it is not served. */
  api?: ApiMountOptions
  /** Serves the dashboard, with an API of its own. Without `guards` or `authorize`, every caller may use it. Default: it is not served. */
  dashboard?: DashboardMountOptions
  /** How the registry closes when the application does: by default it aborts jobs, and waits 30 seconds for them. */
  close?: CloseOptions
}

/** The options of `HeadgateModule.forRoot`: those of the registry, and of its place in Nest. */
export interface HeadgateModuleOptions<Datasources extends NamedDatasources = NamedDatasources>
  extends JobRegistryOptions<Datasources>,
    HeadgateModuleSettings {}

/** What Nest injects for a token: an instance for a class, otherwise what only you know. */
export type Injected<Tokens extends readonly unknown[]> = {
  [Index in keyof Tokens]: Tokens[Index] extends abstract new (
    ...dependencies: never[]
  ) => infer Instance
    ? Instance
    : unknown
}

/** The options of `HeadgateModule.forRootAsync`. */
export interface HeadgateModuleAsyncOptions<Tokens extends readonly unknown[] = readonly unknown[]>
  extends HeadgateModuleSettings {
  /** The injection tokens of what `useFactory` receives. Default: none. */
  inject?: Tokens
  /** Returns the options of the registry, or a promise of them. */
  useFactory(...dependencies: Injected<Tokens>): JobRegistryOptions | Promise<JobRegistryOptions>
}

const segment = /^\/?[\w.~!$&'()+,;=@-]+(\/[\w.~!$&'()+,;=@-]+)*$/

/** The rule for an array of something. */
const arrayOf = (things: string) => {
  return rule.optional({ accepts: (value: unknown) => Array.isArray(value), expected: `an array of ${things}` })
}

const mountRules = {
  path: {
    accepts: (value: unknown) => typeof value === 'string' && segment.test(value),
    expected: 'a path such as `jobs`',
  },
  guards: arrayOf('guards'),
  basePath: {
    accepts: (value: unknown) => value === undefined,
    expected: 'omitted, as `path` says where it is served, below the global prefix of the application',
  },
}

const closeRules = {
  drain: rule.optional({
    accepts: (value: unknown) => typeof value === 'boolean' || rule.whole(0).accepts(value),
    expected: 'true, false or a whole number of milliseconds',
  }),
  timeout: rule.optional(rule.milliseconds(0)),
}

const settingsRules = {
  name: rule.optional(rule.text),
  imports: arrayOf('modules'),
  api: rule.optional(rule.anObject),
  dashboard: rule.optional(rule.anObject),
  close: rule.optional(rule.anObject),
}

const asyncRules = { ...settingsRules, inject: arrayOf('injection tokens'), useFactory: rule.aFunction }

/** Throws `invalid_options` for options of `forRootAsync` that are not known or not valid. */
export function checkAsyncOptions(options: HeadgateModuleAsyncOptions): void {
  checkOptions('options', options, asyncRules)
}

/** Throws `invalid_options` for what would otherwise fail later, or in words of Nest. */
export function checkSettings({ name, imports, api, dashboard, close }: HeadgateModuleSettings): void {
  checkOptions('options', { name, imports, api, dashboard, close }, settingsRules)
  for (const [where, mount] of Object.entries({ api, dashboard })) {
    if (!mount) continue
    const { path, guards, basePath } = mount as MountOptions & { basePath?: unknown }
    checkOptions(where, { path, guards, basePath }, mountRules, `${where}.`)
  }
  if (close) checkOptions('close', close, closeRules, 'close.')
}
