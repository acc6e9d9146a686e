/** Level 2: resumes. The items of an HTTP API, page by page: `GET <path>?after=<id>&limit=<n>` returns items with higher ids. */
import type { Datasource } from 'headgate'
import { JobError, type Query, RecordBatch, untilAborted } from 'headgate/adapter'

type Item = { id: number }

/** The query is the path of the items. */
export function pagesDatasource(url: string): Datasource {
  return {
    kind: 'pages',
    capabilities: { resumesAfterId: true },
    async *read(query, { signal, batchSize, lastId }) {
      let after = lastId
      for (;;) {
        const items = await page(addressOf(url, query, after, batchSize), signal)
        if (items.length > 0) yield RecordBatch.fromRecords(items)
        signal.throwIfAborted()
        if (items.length < batchSize) return
        after = String(items.at(-1)?.id)
      }
    },
  }
}

function addressOf(url: string, { text: path }: Query, after: string | undefined, limit: number): URL {
  const address = new URL(path, url)
  if (after !== undefined) address.searchParams.set('after', after)
  address.searchParams.set('limit', String(limit))
  return address
}

async function page(address: URL, signal: AbortSignal): Promise<Item[]> {
  const response = await fetch(address, { signal })
  if (response.ok) return untilAborted(response.json() as Promise<Item[]>, signal)
  // Whether to try again is up to the job. It retries transient errors.
  const isTransient = response.status === 429 || response.status >= 500
  throw new JobError('datasource', `The API answered with ${response.status}.`, { isTransient })
}
