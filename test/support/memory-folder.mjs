import { existsSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'

const folder = '/dev/shm'
const gigabyte = 1024 ** 3

/** A folder in memory that takes 4 GB, where twice as much memory is free: tests write all the time, and wait for a disk. */
export function memoryFolder() {
  if (process.platform !== 'linux' || !existsSync(folder)) return undefined
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize >= 4 * gigabyte && freemem() >= 8 * gigabyte ? folder : undefined
}
