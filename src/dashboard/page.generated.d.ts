// `npm run build:page` builds the module of these from src/dashboard/page. Builds of the package and runs of the tests do so first.

/** What tells one build of the page from another. */
export const pageVersion: string

/** The style of the page. */
export const pageStyle: string

/** The script of the page. */
export const pageScript: string
