import { commonRedactor, invalid, rule, systemClock } from '../adapter.js'
import { isUnder, JobsApi, splitUrl } from '../http/api/index.js'
import type { Authorize, JobsAnswer, JobsRequest } from '../http/index.js'
import { errorBody, wireErrors } from '../wire/index.js'
import { type DashboardOptions, type DashboardSource, defaultBasePath, isClient } from './dashboard-options.js'
import { Forwarding } from './forwarding.js'
import { type PageFile, pageFiles } from './page-files.js'

/** The page, with the HTTP API below it. */
export class Dashboard {
  readonly #base: string
  readonly #api: JobsApi
  readonly #files: ReadonlyMap<string, PageFile>

  constructor(source: DashboardSource, options: DashboardOptions) {
    const { basePath = defaultBasePath, readOnly = false, title = 'headgate', ...rest } = options
    const { clock = systemClock } = rest
    this.#base = basePath === '/' ? '' : basePath
    const authorize = readOnly ? refusingChanges(options.authorize) : options.authorize
    const api = { ...rest, basePath: `${this.#base}/api`, ...(authorize && { authorize }) }
    this.#api = isClient(source)
      ? new JobsApi(api, commonRedactor, () => new Forwarding(source, clock))
      : JobsApi.of(source, api)
    this.#files = pageFiles({ title, readOnly })
  }

  covers(url: string): boolean {
    return isUnder(this.#base, splitUrl(url).path)
  }

  endStreams(): void {
    this.#api.endStreams()
  }

  /** Answers the page and its files. All other requests are those of the API. */
  async answer(request: JobsRequest): Promise<JobsAnswer> {
    // A mount at a path of its own leaves nothing of that path.
    const path = request.url === '' ? '' : splitUrl(request.url).path
    const file = isUnder(this.#base, path) ? this.#files.get(path.slice(this.#base.length) || '/') : undefined
    if (file === undefined) return this.#api.answer(request)
    return (
      (await this.#api.refusal(request)) ??
      wrongMethod(request) ??
      this.#redirect(request, path) ??
      toAnswer(request, file)
    )
  }

  /** The page finds its files and the API beside itself, whatever path it has for the browser. So this path needs a slash at its end. */
  #redirect({ url, native }: JobsRequest, path: string): JobsAnswer | undefined {
    const { originalUrl } = Object(native) as { originalUrl?: unknown }
    const isAtRoot = this.#base === '' && (path === '' || path === '/')
    const seen = isAtRoot && typeof originalUrl === 'string' ? splitUrl(originalUrl).path : path
    if (seen.endsWith('/') || !(isAtRoot || path === this.#base)) return undefined
    const { search } = splitUrl(url)
    const location = `./${seen.slice(seen.lastIndexOf('/') + 1)}/${search === undefined ? '' : `?${search}`}`
    return { status: 302, headers: { location, 'cache-control': 'no-store', 'content-length': '0' }, body: '' }
  }
}

/** Allows what `authorize` allows, except for changes. */
function refusingChanges(authorize: Authorize | undefined): Authorize {
  return async (request, action, job) => {
    const verdict = authorize ? await authorize(request, action, job) : true
    if (verdict !== true || action === 'read' || action === 'events') return verdict
    return { status: 403, reason: 'The dashboard is read-only.' }
  }
}

function toAnswer({ method }: JobsRequest, { text, size, headers }: PageFile): JobsAnswer {
  const body = method === 'HEAD' ? '' : text
  return { status: 200, headers: { ...headers, 'content-length': String(size) }, body }
}

function wrongMethod({ method }: JobsRequest): JobsAnswer | undefined {
  if (method === 'GET' || method === 'HEAD') return undefined
  const { message } = invalid('method', rule.oneOf('GET', 'HEAD').expected, method)
  const body = JSON.stringify(errorBody('method_not_allowed', message))
  const headers = { allow: 'GET, HEAD', 'content-type': 'application/json; charset=utf-8' }
  return { status: wireErrors.method_not_allowed, headers, body }
}
