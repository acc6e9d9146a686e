import type { TestOpensearch } from '../../support/opensearch.js'

/** Writes documents, each given as JSON, and lets searches see them. */
export async function bulk(server: TestOpensearch, index: string, documents: readonly string[]): Promise<void> {
  const body = documents.map((document) => `{"index":{}}\n${document}\n`).join('')
  const headers = { 'content-type': 'application/x-ndjson' }
  const answer = await fetch(`${server.url}/${index}/_bulk?refresh=true`, { method: 'POST', headers, body })
  const { errors, items } = (await answer.json()) as { errors?: boolean; items?: unknown[] }
  if (errors !== false) throw new Error(`The documents were not written: ${JSON.stringify(items?.slice(0, 3))}`)
}
