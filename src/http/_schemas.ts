import { jobStates } from '../index.js'

/** A JSON Schema of draft 2020-12, as OpenAPI 3.1 has it. */
export interface Schema {
  readonly [keyword: string]: unknown
}

/** The schemas of single values: those of parameters, and of fields that have the same. */
export const schemas = {
  type: { type: 'string', minLength: 1, maxLength: 512, pattern: '^[^_\\u0000][^\\u0000]*$' },
  id: { type: 'string', minLength: 1, maxLength: 512, pattern: '^[^\\u0000]+$' },
  state: { type: 'string', enum: jobStates },
  executionId: {
    type: 'string',
    pattern: '[\\s\\S][\\da-fA-F]{8}(-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}$',
  },
  duration: { type: 'string', pattern: '^(0|\\d+(ms|s|m|h|d))$' },
} satisfies Record<string, Schema>
