import type { ExecutionRecord } from '../model/index.js'
import type { ExecutionPage, JobStorage, LiveFilter, PageRequest } from './job-storage.js'

/** The default size of a page of live executions or of orphans. */
export const pageSize = 1000

/** The default size of a page of the log. */
export const searchSize = 10

/** The page of up to `size` executions, oldest first, that a storage has found. For implementations of `live` and `orphans`. */
export function pageOf(hits: ExecutionRecord[], size: number): ExecutionPage {
  const last = hits.length < size ? undefined : hits.at(-1)
  return last ? { hits, next: last.executionId } : { hits }
}

/** Reads page after page. Another process may change the executions in between. */
export async function* pagesOf(read: (page: PageRequest) => Promise<ExecutionPage>): AsyncGenerator<ExecutionRecord[]> {
  let page: PageRequest = {}
  do {
    const { hits, next } = await read(page)
    yield hits
    page = next === undefined ? {} : { searchAfter: next }
  } while (page.searchAfter !== undefined)
}

/** All live executions that a filter selects, oldest first. */
export async function allLive(storage: JobStorage, filter: LiveFilter): Promise<ExecutionRecord[]> {
  const all: ExecutionRecord[] = []
  for await (const hits of pagesOf((page) => storage.live({ ...filter, ...page }))) all.push(...hits)
  return all
}
