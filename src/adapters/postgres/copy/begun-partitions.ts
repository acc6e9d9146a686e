/** A partition, as the execution that writes it knows it. */
interface Partition {
  readonly partition: number
  /** Identifies the partitions that were created together. */
  readonly scheme: string
}

/** The partitions that have stored a checkpoint, in the checkpoint of their job. */
interface Begun {
  readonly scheme: string
  readonly partitions: readonly number[]
}

/** Whether the checkpoint of a job lists a partition, so that the row of the partition must exist. */
export function isBegun(kept: unknown, { scheme, partition }: Partition): boolean {
  const { begun } = Object(kept) as { begun?: unknown }
  const { scheme: known, partitions } = Object(begun) as Partial<Begun>
  return known === scheme && Array.isArray(partitions) && partitions.includes(partition)
}

/** The checkpoint of a job that lists a partition, too. */
export function withBegun(kept: object, { scheme, partition }: Partition): object {
  if (isBegun(kept, { scheme, partition })) return kept
  const { begun } = kept as { begun?: Begun }
  const others = begun?.scheme === scheme && Array.isArray(begun.partitions) ? begun.partitions : []
  return { ...kept, begun: { scheme, partitions: [...others, partition] } satisfies Begun }
}
