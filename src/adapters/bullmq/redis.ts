/** The part of BullMQ's Redis backend that scripts use. */
export interface RedisBackend {
  readonly client: Promise<Client>
  readonly keys: Readonly<Record<string, string>>
  toKey(id: string): string
  getQueueMetaField(field: string): Promise<string | null>
}

interface Client {
  defineCommand(name: string, definition: { numberOfKeys: number; lua: string }): void
  runCommand(name: string, args: (string | number)[]): Promise<unknown>
}

/** A connection of BullMQ, with the timer of `ioredis` that waits for an answer of the server. */
interface Connection {
  readonly extraOptions?: { readonly shared?: boolean }
  readonly _client?: { readonly socketTimeoutTimer?: ReturnType<typeof setTimeout> }
}

/** Clears the timers of the connections that a backend has closed. `ioredis` leaves them, and they keep the process alive. */
export function clearSilenceTimers(backend: object): void {
  const { connection, blockingConnection } = backend as Partial<Record<string, Connection>>
  for (const each of [connection, blockingConnection]) {
    if (!each?.extraOptions?.shared) clearTimeout(each?._client?.socketTimeoutTimer)
  }
}

/** A Redis script, with its command name. */
export interface Script {
  readonly name: string
  readonly numberOfKeys: number
  readonly lua: string
}

/** The scripts that each client knows. Defining one again would send its whole text again. */
const defined = new WeakMap<Client, Set<Script>>()

/** Returns a function that runs a script on the connection of a backend without delay. */
export async function runnerOf(
  backend: RedisBackend,
  script: Script,
): Promise<(args: (string | number)[]) => Promise<unknown>> {
  const client = await backend.client
  const scripts = defined.get(client) ?? new Set()
  if (!scripts.has(script)) client.defineCommand(script.name, script)
  defined.set(client, scripts.add(script))
  return (args) => client.runCommand(script.name, args)
}
