/** A partition, as the execution that writes it knows it. */
interface Partition {
  readonly partition: number
  /** Identifies the partitions that were created together. */
  readonly scheme: string
}

/** What the partitions of a scheme have told their job, in its checkpoint. */
interface Begun {
  readonly scheme: string
  /** Those that have stored a checkpoint. */
  readonly partitions: readonly number[]
  /** Whether one of them has written rows, where the job itself has none. */
  readonly hasRows?: true
}

/** What the checkpoint of a job, or of one of its partitions, says of the rows that it counts on. */
export interface KeptRows {
  /** Whether the table holds no row that the checkpoint counts on, apart from those that partitions have told of. Earlier versions did not store it. */
  readonly hasNoRows?: true
  readonly begun?: Begun
}

/** Whether the table may hold rows that a checkpoint counts on. */
export function mayHaveRows({ hasNoRows, begun }: KeptRows): boolean {
  return hasNoRows !== true || Object(begun).hasRows === true
}

/** Whether the checkpoint of a job lists a partition, so that the row of the partition must exist. */
export function isBegun(kept: unknown, { scheme, partition }: Partition): boolean {
  const { scheme: known, partitions } = Object(Object(kept).begun) as Partial<Begun>
  return known === scheme && Array.isArray(partitions) && partitions.includes(partition)
}

/** Whether the checkpoint of a job says that it has no partitions of a scheme, or others by now. Without a checkpoint, nothing tells. */
export function hasOtherScheme(kept: unknown, scheme: string): boolean {
  if (typeof kept !== 'object' || kept === null) return false
  const { scheme: current } = kept as { scheme?: unknown }
  return (Object(current) as { id?: unknown }).id !== scheme
}

/**
 * The checkpoint of a job after a partition has stored its own: it lists a partition that resumes from there, and says that the partition
 * has written rows.
 */
export function withPartition(job: KeptRows, { scheme, partition }: Partition, kept: object): object {
  const { begun } = job
  const isSame = Object(begun).scheme === scheme
  const known = isSame && Array.isArray(begun?.partitions) ? begun.partitions : []
  // A job that does not resume gives its partitions no scheme to keep.
  const isNew = (kept as { scheme?: unknown }).scheme === scheme && !known.includes(partition)
  const hadRows = isSame && begun?.hasRows === true
  const hasRows = hadRows || (mayHaveRows(kept) && !mayHaveRows(job))
  if (!isNew && hasRows === hadRows) return job
  const partitions = isNew ? [...known, partition] : known
  return { ...job, begun: { scheme, ...(hasRows && { hasRows }), partitions } satisfies Begun }
}
