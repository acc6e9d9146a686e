import type { JobRecord } from '../../../adapter.js'
import { Pages, type PagesRequest } from './pages.js'

/** All documents of a search, in any order, a page for each `read`. */
export class DocumentCursor {
  readonly #pages: Pages
  readonly #close: () => Promise<void>
  readonly #rest: JobRecord[] = []

  constructor(request: Omit<PagesRequest, 'sort'>) {
    this.#pages = new Pages({ ...request, sort: ['_doc'] })
    this.#close = () => request.pit.close()
  }

  /** The next documents, up to `count`. Empty at the end. */
  async read(count: number): Promise<readonly JobRecord[]> {
    const missing = count - this.#rest.length
    if (missing > 0 && !this.#pages.isAtEnd) {
      for (const { record } of await this.#pages.next(missing)) this.#rest.push(record)
    }
    return this.#rest.splice(0, count)
  }

  close(): Promise<void> {
    return this.#close()
  }
}
