import { pageScript, pageStyle, pageVersion } from './page.generated.js'

/** A file of the page. */
export interface PageFile {
  readonly text: string
  /** Its size in UTF-8, in bytes. */
  readonly size: number
  readonly headers: Readonly<Record<string, string>>
}

/** What the page knows of its handler. */
export interface PageSettings {
  readonly title: string
  readonly readOnly: boolean
}

/** The page loads nothing from elsewhere, and runs and styles nothing but its own files. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ')

/** The files of the page, by their paths below its own. */
export function pageFiles(settings: PageSettings): ReadonlyMap<string, PageFile> {
  const html = pageHtml(settings)
  return new Map([
    [
      '/',
      toFile(html, 'text/html', { ...notStored, 'content-security-policy': policy, 'referrer-policy': 'same-origin' }),
    ],
    ['/app.js', toFile(pageScript, 'text/javascript', versioned)],
    ['/app.css', toFile(pageStyle, 'text/css', versioned)],
  ])
}

const notStored = { 'cache-control': 'no-store' }

/** The page names the version of its files. */
const versioned = { 'cache-control': 'private, max-age=31536000, immutable' }

function toFile(text: string, mediaType: string, headers: Record<string, string>): PageFile {
  return {
    text,
    size: new TextEncoder().encode(text).byteLength,
    headers: {
      'content-type': `${mediaType}; charset=utf-8`,
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  }
}

/** A gate, as the mark at the top of the page has it. */
const icon = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#3a56d4"/><path d="M9 24V9m14 15V9M9 13h14M9 18h8" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>',
)}`

function pageHtml({ title, readOnly }: PageSettings): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="headgate-title" content="${escaped(title)}">
<meta name="headgate-read-only" content="${readOnly}">
<title>${escaped(title)}</title>
<link rel="icon" href="${icon}">
<link rel="stylesheet" href="app.css?v=${pageVersion}">
<script type="module" src="app.js?v=${pageVersion}"></script>
<link rel="preload" href="api/" as="fetch" crossorigin>
<div id="app">${skeleton(title)}</div>
<noscript>This page needs JavaScript. The HTTP API below <code>api</code> does not.</noscript>
</html>
`
}

/** What the page shows until its script has run: its top, as the script draws it. */
function skeleton(title: string): string {
  return `<header class="top"><span class="brand"><span class="brand-mark"><svg class="icon" viewBox="0 0 16 16"><path d="M3 13.5v-11m10 11v-11M3 5h10M3 9h10" stroke-width="1.8"/></svg></span><bdi>${escaped(title)}</bdi></span></header><main><h1 class="visually-hidden">${escaped(title)}</h1><div class="loading">${'<div class="skeleton"></div>'.repeat(6)}</div></main>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
