import type { JobStorage } from 'headgate'
import { postgresStorage } from 'headgate/postgres'
import { sqliteStorage } from 'headgate/sqlite'

/** Where the processes of a cluster meet. */
export type StoragePlan =
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'sqlite'; readonly path: string }

/** What a process of a cluster is. */
export interface NodePlan {
  readonly name: string
  readonly storage: StoragePlan
  /** The Postgres that jobs read. */
  readonly source: string
  /** The kinds of its jobs that read. Default: it has none. */
  readonly kinds?: readonly string[]
  /** Where jobs write their files. */
  readonly folder: string
  /** How long a lease holds, in milliseconds. */
  readonly lease: number
  /** How many milliseconds every save takes longer than it would. */
  readonly saveDelay?: number
  /** The Postgres in which processes share a line. Default: each has its own. */
  readonly line?: string
  /** How many milliseconds the clock of the process is wrong. */
  readonly skew?: number
}

/** What a process can be told to do. */
export type Order =
  | { readonly do: 'start' | 'abort'; readonly type: string; readonly id: string; readonly fullRefresh?: boolean }
  /** Starts a job again and again for so many milliseconds. */
  | { readonly do: 'loop'; readonly id: string; readonly ms: number }
  | { readonly do: 'close' }

/** How a process tells of what it was told to do. */
export interface Answer {
  readonly executionIds?: readonly string[]
  readonly refused?: number
  readonly error?: string
}

/** The storage of a plan. */
export function openStorage(plan: StoragePlan): JobStorage {
  return plan.kind === 'postgres' ? postgresStorage({ connectionString: plan.url }) : sqliteStorage({ path: plan.path })
}
