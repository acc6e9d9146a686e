/** What the server tells the page in its HTML. */
const metaOf = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="headgate-${name}"]`)?.content

/** The name of the installation. */
export const title = metaOf('title') ?? 'headgate'

/** Whether the server refuses every change. */
export const readOnly = metaOf('read-only') === 'true'

/** The path of the API, which lies beside the page. */
export const apiPath = `${location.pathname.replace(/(?<!\/)\/+$/, '')}/api`
