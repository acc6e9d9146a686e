import type { OpenApi, OpenApiOperation } from '../../src/http/api/openapi.js'
import type { Schema } from '../../src/http/api/schemas.js'

const introduction = `# API description

Every server of the [HTTP API](http-api.md) describes it in OpenAPI 3.1, for generators of clients, API browsers and gateways, at
\`GET {base}/_openapi\`. The routes that answer are also its source, and headgate's tests check every
answer against it. This page is generated from it too: \`npx vitest run test/http/openapi.test.ts -u\`.

\`authorize\` is asked for the action \`read\`. \`servers\` has the base path of the handler: where a proxy puts a path in front,
put it there too.

To have it without a server, ask the handler:

<!-- file: test/http/openapi.test.ts#write -->
\`\`\`ts
CODE\`\`\`
`

/** The page about a description. */
export function pageOf({ paths, components }: OpenApi, code: string): string {
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => callSection(`${method.toUpperCase()} ${path}`, operation)),
  )
  const bodies = Object.entries(components.schemas).map(([name, schema]) => bodySection(name, schema))
  return [introduction.replace('CODE', () => code), '## Calls\n', ...calls, '## Bodies\n', ...bodies].join('\n')
}

function callSection(title: string, operation: OpenApiOperation): string {
  const { operationId, summary, parameters, requestBody, responses } = operation
  const parameterRows = parameters.map(({ name, in: place, schema, description }) => {
    return [`\`${name}\``, place, kindOf(schema), description]
  })
  const answerRows = Object.entries(responses).map(([status, { content, description }]) => {
    return [
      status,
      Object.values(content)
        .map(({ schema }) => kindOf(schema))
        .join(),
      description,
    ]
  })
  return [
    `### \`${title}\`\n\n${summary} Operation \`${operationId}\`.\n`,
    table(['parameter', 'in', 'type', 'meaning'], parameterRows),
    ...(requestBody ? [`The body may be a ${kindOf(requestBody.content['application/json'].schema)}.\n`] : []),
    table(['status', 'body', 'when'], answerRows),
  ].join('\n')
}

function bodySection(name: string, schema: Schema): string {
  const rows = fieldRows(schema)
  return `### ${name}\n\n${rows.length > 0 ? table(['field', 'type', 'there', 'meaning'], rows) : 'An object.\n'}`
}

function fieldRows({ properties = {}, required }: Schema, prefix = ''): string[][] {
  return Object.entries(properties as Record<string, Schema>).flatMap(([name, schema]) => {
    const isAlways = (required as string[]).includes(name)
    const row = [
      `\`${prefix}${name}\``,
      kindOf(schema),
      isAlways ? 'always' : 'at times',
      String(schema.description ?? ''),
    ]
    return [row, ...(schema.properties ? fieldRows(schema, `${prefix}${name}.`) : [])]
  })
}

/** What a schema takes, in a few words. */
function kindOf(schema: Schema): string {
  if (schema.$ref) return linkTo(String(schema.$ref).split('/').at(-1) ?? '')
  if ('const' in schema) return `\`${schema.const}\``
  if (Array.isArray(schema.enum))
    return schema.enum.map((value) => (value === '' ? 'nothing' : `\`${value}\``)).join(', ')
  if (schema.type === 'array') return `array of ${kindOf(schema.items as Schema)}`
  if (schema.additionalProperties) return `object of ${kindOf(schema.additionalProperties as Schema)}`
  return String(schema.type ?? 'any JSON')
}

function linkTo(name: string): string {
  return `[${name}](#${name.toLowerCase()})`
}

function table(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return [line(header), `|${'---|'.repeat(header.length)}\n`, ...rows.map(line)].join('')
}
