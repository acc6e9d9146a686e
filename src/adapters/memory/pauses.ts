import type { Clock, Pause, PauseScope, Pauses } from '../../adapter.js'

/** The pauses of a storage in memory. */
export function pausesOf(clock: Clock): Pauses {
  const pauses = new Map<string, Pause>()
  return {
    async pause(scope, { reason, by }) {
      const key = keyOf(scope)
      const pause = pauses.get(key) ?? {
        ...scope,
        since: clock.now(),
        ...(reason !== undefined && { reason }),
        ...(by !== undefined && { by }),
      }
      pauses.set(key, pause)
      return { ...pause }
    },
    unpause: async (scope) => pauses.delete(keyOf(scope)),
    list: async () => [...pauses.values()].map((pause) => ({ ...pause })),
  }
}

function keyOf({ type, id }: PauseScope): string {
  return JSON.stringify([type, id])
}
