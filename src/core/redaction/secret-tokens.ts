import { endOf, matches, type Span } from './spans.js'

/** Tokens with a recognizable prefix, and their minimum length. Each begins with letters, so that a search is fast. */
const prefixes = [
  // JSON Web Tokens, of 1Password too.
  '(?:ops_)?eyJ(?=[\\w-]{8})',
  // GitHub, GitLab.
  '(?:gh[pousr]_|github_pat_)(?=\\w{8})',
  'gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct)-(?=[\\w-]{8})',
  // Slack.
  '(?:xox[abceoprs](?:\\.xox[bp])?|xapp|xwfp)-(?=[\\w-]{8})',
  // Anthropic, OpenAI and others with the same form.
  'sk-(?:ant|proj|svcacct|admin|or)-(?=[\\w-]{8})',
  'sk-(?=[\\w-]{0,16}\\d)(?=[\\w-]{8})',
  // Stripe, Clerk, webhooks of Stripe and Svix.
  '[srp]k_(?:live|test|prod)_(?=\\w{8})',
  'whsec_(?=[\\w+/]{8})',
  // Google.
  'AIza(?=[\\w-]{30})',
  'ya29\\.(?=[\\w-]{8})',
  'GOCSPX-(?=[\\w-]{8})',
  // SendGrid, Brevo, Postman, Mailchimp's and Mailgun's keys have no prefix.
  'SG\\.(?=[\\w-]{16,32}\\.)',
  'xkeysib-(?=\\w{8})',
  'PMAK-(?=\\w{8})',
  // Registries of packages.
  'npm_(?=\\w{8})',
  'pypi-AgE(?=[\\w-]{8})',
  'rubygems_(?=\\w{8})',
  'dckr_pat_(?=[\\w-]{8})',
  // Clouds: DigitalOcean, Fly, Netlify, Databricks, HashiCorp, Pulumi, Doppler, Tailscale.
  'do[opr]_v1_(?=\\w{8})',
  'f[mo][12]_(?=[\\w+/]{16})',
  'nfp_(?=\\w{16})',
  'dapi(?=[a-f0-9]{32})',
  'hv[sbr]\\.(?=[\\w-]{8})',
  'pul-(?=[a-f0-9]{32})',
  'dp\\.(?:pt|st|ct|sa|scim|audit)\\.(?=\\w{8})',
  'tskey-(?=[\\w-]{8})',
  // Shopify, Square, Atlassian, Linear, Notion, Figma, Grafana, Sentry, New Relic, Hugging Face, Groq, Replicate, age.
  'shp(?:at|ca|pa|ss)_(?=\\w{8})',
  'sq0(?:atp|csp)-(?=[\\w-]{8})',
  'AT[AC]TT3(?=[\\w-]{8})',
  'lin_api_(?=\\w{8})',
  'ntn_(?=\\w{16})',
  'figd_(?=[\\w-]{8})',
  'gl(?:sa|c)_(?=[\\w+/]{16})',
  'sntry[su]_(?=[\\w+/]{8})',
  'NR(?:AK|JS)-(?=\\w{8})',
  'hf_(?=\\w{16})',
  'gsk_(?=\\w{16})',
  'r8_(?=\\w{16})',
  'AGE-SECRET-KEY-1(?=\\w{8})',
  // Azure, Telegram.
  '[\\w~.]{3}\\dQ~(?=[\\w~.-]{16})',
  '(?:bot)?\\d{8,10}:AA(?=[\\w-]{30})',
]

/** Keys of AWS, with the secret next to one. */
const awsKey = '(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])(?:[^\\w+/]{1,8}[\\w+/]{40}(?![\\w+/]))?'

/** Addresses whose last part is a secret: web hooks of Slack, Discord and Teams. */
const hooks =
  'hooks\\.slack(?:-gov)?\\.com\\\\?/(?:services|workflows|triggers)\\\\?/|discord(?:app)?\\.com\\\\?/api\\\\?/(?:v\\d{1,2}\\\\?/)?webhooks\\\\?/|webhook\\.office\\.com\\\\?/'

/** The schemes of credentials. Basic ones look like base64: `basic authentication` and `Basic JavaScript` are words. */
const credentials = '(?:\\s{1,16}|%20|\\+)(?:\\\\{0,7}["\'`]|%2[27])?'
const bearer = `[Bb](?:earer|EARER)${credentials}(?!(?:realm|error|scope)=|(?:token|authentication|authorization|auth|scheme|header|credential|is|was|must|or|and)s?(?![\\w.=-]))(?=[\\w<])`
const basic = `[Bb](?:asic|ASIC)${credentials}(?=[\\w+/-]{8})(?=[\\w+/-]{0,128}[\\d=]|(?:[\\w+/-]{4}){2,64}(?![\\w+/-])(?<=[a-z][A-Z][\\w+/-]{0,256}))`

const pem = '-----BEGIN [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----'

/** `jdbc:oracle:thin:user/password@host`, and the same of the commands of Oracle. */
const between = '["\']?[\\s,]{1,8}["\']?'
const oracleCommand = `\\b(?:sqlplus|SQLPLUS|sqlldr|sqlcl|expdp|impdp|exp|imp|rman)(?:${between}(?:-\\w{1,16}|[\\d.]{1,8}|target|catalog|auxiliary)){0,8}${between}(?:userid=)?`
const oracle = `:(?:thin|oci8?):@?[^\\s/@:]{1,128}\\/|(?:${oracleCommand}|(?<=(?:^|[;>\\n])\\s{0,8})(?:conn(?:ect)?|CONN(?:ECT)?)\\s{1,8})["']?[\\w$#]{1,64}(?:\\[[\\w$#]{1,64}\\])?\\/(?=[^\\s/])|(?<![\\w$#/.])[\\w$#]{1,64}\\/(?=(?:"[^"\\n]{1,128}"|[^\\s/@]{1,128})@(?:(?:tcps?:)?\\/\\/|\\([Dd][Ee][Ss][Cc]|[\\w.-]{1,128}:\\d{2,5}(?!\\w)))`

/** A line of pgpass. */
const pgpass =
  '(?<![^\\s"\'`(=])(?=[\\w-]{0,127}[A-Za-z*.])[\\w.*-]{1,128}:(?:[1-9]\\d{1,4}|\\*):[^\\s:"\'/]{1,64}:[^\\s:"\'/]{1,64}:(?=\\S)'

const tokens = new RegExp(
  [
    `(?<pem>${pem})`,
    `(?<oracle>${oracle})`,
    `(?<pgpass>${pgpass})`,
    `(?<![A-Za-z0-9])(?:(?<scheme>${bearer}|${basic})|(?<aws>${awsKey})|(?<hook>${hooks})|(?<prefix>${prefixes.join('|')}))`,
  ].join('|'),
  'g',
)

/** How far after its user the password of a connect string of Oracle may end. */
const oraclePassword = 256

/** Secrets that are recognizable without a name. */
export function* knownTokens(text: string): Generator<Span> {
  for (const match of matches(text, tokens)) {
    const span = tokenSpan(text, match)
    yield span
    tokens.lastIndex = Math.max(span.end, tokens.lastIndex)
  }
}

function tokenSpan(text: string, { 0: found, index: start, groups }: RegExpExecArray): Span {
  const end = start + found.length
  if (groups?.aws !== undefined) return { start, end }
  if (groups?.scheme !== undefined) return { start: end, end: endOf(text, end, /[\s"'`\\]/g) }
  if (groups?.hook !== undefined) return { start: end, end: endOf(text, end, /[\s"'<>)]/g) }
  if (groups?.pem !== undefined) {
    const closing = text.indexOf('-----END', end)
    return { start: end, end: closing < 0 ? text.length : closing }
  }
  if (groups?.oracle !== undefined) {
    if (text[end] === '"') return { start: end, end: endOf(text, end + 1, /"/g) + 1 }
    // Cut first: a search to the end of the word would read a long word once for every match in it.
    const near = text.slice(end, end + oraclePassword)
    const word = near.slice(0, endOf(near, 0, /[\s"']/g))
    const at = found.startsWith(':') ? word.indexOf('@') : word.lastIndexOf('@')
    return { start: end, end: at < 0 && !found.startsWith(':') ? end + word.length : Math.max(end + at, end) }
  }
  if (groups?.pgpass !== undefined) return { start: end, end: pgpassEnd(text, start, end) }
  return { start, end: endOf(text, end, /[^\w.~+/=-]/g) }
}

/** The end of the password of a line of pgpass: of its line, of its quotes, or of the word. */
function pgpassEnd(text: string, start: number, from: number): number {
  const before = text[start - 1] ?? '\n'
  if (before === '"') return endOf(text, from, /"/g)
  if (before === "'") return endOf(text, from, /'/g)
  return endOf(text, from, before === '\n' ? /[\r\n]/g : /\s/g)
}
