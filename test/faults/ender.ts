import { JobRegistry } from 'headgate'
import { sqliteStorage } from 'headgate/sqlite'

/**
 * Runs a job and says when it has come to the moment at which it is to be killed: while it runs, between its end and the call of
 * `onEnd`, or during that call.
 */
const [path = '', moment] = process.argv.slice(2)
const now = (reached: string) => (moment === reached ? new Promise<never>(() => console.log('now')) : undefined)

const storage = sqliteStorage({ path })
const { ends } = storage
const finish = storage.finish.bind(storage)
let hasEnded = false
const registry = new JobRegistry({
  storage: Object.assign(storage, {
    finish: (...request: Parameters<typeof finish>) => {
      hasEnded = true
      return finish(...request)
    },
    ends: {
      ...ends,
      claim: async (...request: Parameters<NonNullable<typeof ends>['claim']>) => {
        if (hasEnded) await now('claim')
        return ends?.claim(...request)
      },
    },
  }),
  lease: 400,
  onEndTimeout: 300,
})
registry.define({ type: 'test', id: 'a', run: () => now('run'), onEnd: () => now('call') })
await registry.start('test', 'a')
// Keeps the process alive.
setInterval(() => undefined, 1000)
