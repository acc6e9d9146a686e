/**
 * Something of which there are only so many, such as the connections of a pool. It is told from others by its identity:
 * adapters that share it give the same object.
 *
 * @experimental
 */
export interface SharedResource {
  /** What there is so little of, for messages, such as `connections of the pool to db:5432/shop`. */
  readonly name: string
  /** How many executions may hold at once, all together. */
  readonly capacity: number
  /** How many stay free for others while more than one execution holds some. Default 0. */
  readonly spare?: number
  /** What to do when an execution needs so many, which is more than the capacity, as the end of a sentence. */
  remedy(count: number): string
}

/**
 * What an execution holds at once of a resource.
 *
 * @experimental
 */
export interface ResourceNeed {
  readonly resource: SharedResource
  readonly count: number
}
