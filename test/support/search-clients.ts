import type { SearchClient } from 'headgate/elasticsearch'

/** What tests call of a client of Elasticsearch or OpenSearch. */
export interface TestClient extends SearchClient {
  readonly helpers: {
    bulk(options: object): PromiseLike<{ readonly total: number; readonly failed: number }>
  }
  close(): unknown
}

type ClientClass = new (options: { node: string }) => TestClient

/** The class of a client, by the name of its package. `undefined` where it is not installed, which is an error in CI. */
export async function loadClient(name: string): Promise<ClientClass | undefined> {
  try {
    const { Client } = (await import(name)) as { Client: ClientClass }
    return Client
  } catch (error) {
    if (process.env.CI) throw error
    console.warn(`No ${name}, so tests that need it are skipped: run \`npm ci\`.`)
    return undefined
  }
}
