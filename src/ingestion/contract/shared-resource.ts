import { adapterFailure, checkedAnswer, type Rule, rule } from '../../core/base/index.js'

const needsRule: Rule = {
  accepts: (value) => Array.isArray(value) && value.every(isNeed),
  expected:
    'an array of objects with a whole `count` and a `resource`, which has the text `name`, the number `capacity` and the method `remedy`',
  optional: true,
}

function isNeed(value: unknown): boolean {
  const { resource, count } = Object(value) as Partial<ResourceNeed>
  const { name, capacity, spare = 0 } = Object(resource) as Partial<SharedResource>
  const isResource = rule.having('remedy').accepts(resource) && rule.text.accepts(name) && isAmount(capacity)
  return isResource && isAmount(spare) && rule.whole(0).accepts(count)
}

/** A pool without a limit has the capacity `Infinity`. */
function isAmount(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(value)
}

/** What `needs` of a datasource or a target gives for `options`, or nothing. Throws for anything else. */
export function checkedNeeds<Options>(
  code: 'datasource' | 'target',
  adapter: { readonly kind?: string; needs?(options: Options): readonly ResourceNeed[] } | undefined,
  options: Options,
): readonly ResourceNeed[] {
  let answer: unknown
  try {
    answer = adapter?.needs?.(options)
  } catch (error) {
    throw adapterFailure(code, error, 'needs', adapter?.kind)
  }
  return checkedAnswer<readonly ResourceNeed[] | undefined>(code, `needs() of the ${code}`, needsRule, answer) ?? []
}

/**
 * A resource with limited capacity, such as the connections of a pool. Its identity matters: adapters that share it return the
 * same object.
 *
 * @experimental
 */
export interface SharedResource {
  /** The name of the resource for messages, such as `connections of the pool to db:5432/shop`. */
  readonly name: string
  /** How much of it all executions together may hold at once. */
  readonly capacity: number
  /** How much stays free for others while more than one execution holds some. Default 0. */
  readonly spare?: number
  /** The current demand, by jobs or others. Default: not known. */
  demand?(): ResourceDemand | undefined
  /** The remedy for a need above the capacity, as the end of a sentence. */
  remedy(count: number): string
}

/**
 * The demand for a resource.
 *
 * @experimental
 */
export interface ResourceDemand {
  /** How many requests wait. */
  readonly waiting: number
  /** How many requests were granted so far. */
  readonly granted: number
}

/**
 * How much of a resource an execution holds at once.
 *
 * @experimental
 */
export interface ResourceNeed {
  readonly resource: SharedResource
  readonly count: number
}
