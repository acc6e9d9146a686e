// The parts of Nest that headgate uses, declared here so that our types hold for each of its versions.

/** Where Nest keeps a provider or controller. */
export interface ProviderWrapper {
  readonly token: unknown
  readonly instance: unknown
  readonly metatype: unknown
  /** Whether each class that injects it has an instance of its own. */
  readonly isTransient: boolean
  /** Whether there is one instance, and not one per request. */
  isDependencyTreeStatic(): boolean
}

/** Nest's `DiscoveryService`. */
export interface ProviderList {
  getProviders(): ProviderWrapper[]
  getControllers(): ProviderWrapper[]
}

/** Nest's `MetadataScanner`. */
export interface MethodScanner {
  getAllMethodNames(prototype: object): string[]
}

/** Nest's `ModuleRef`. */
export interface ProviderLookup {
  get(token: string | (abstract new (...dependencies: never[]) => object), options: { strict: false }): unknown
}

/** Nest's `HttpAdapterHost`. */
export interface ServerHost {
  readonly httpAdapter: { getType(): string; getInstance(): unknown }
}
