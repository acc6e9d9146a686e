/**
 * Loaded into every process that tests start, and into the workers that run them: writes down what no code of headgate or
 * of its users handles, as a file in the folder HEADGATE_TEST_STRAYS. The file is there before anything can kill the process.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'

const folder = process.env.HEADGATE_TEST_STRAYS

/** Next.js builds in processes of its own, which die of a closed channel when it stops them. */
const isForeign = process.argv[1]?.includes('/node_modules/next/')

if (folder && !isForeign) {
  let count = 0
  /** The error that is on its way to the end of the process: reported once, though two events show it. */
  let last = {}

  const report = (kind, error) => {
    if (error === last) return
    last = error
    const where = `process ${process.pid}: ${process.argv.slice(1, 2)}`
    writeFileSync(join(folder, `${process.pid}-${++count}.txt`), `${kind} in ${where}\n${shown(error)}`)
  }

  /** A warning has its whole emitter among its fields. */
  const shown = (error) => (error?.name === 'MaxListenersExceededWarning' ? error.stack : inspect(error))

  // A monitor changes nothing: the process ends, or a listener handles the error, as without it.
  process.on('uncaughtExceptionMonitor', (error, origin) => report(origin, error))
  process.on('unhandledRejection', (reason) => {
    report('unhandledRejection', reason)
    // A rejection that no other listener handles ends the process, as Node does by itself.
    if (process.listenerCount('unhandledRejection') === 1) throw reason
  })
  process.on('warning', (warning) => {
    if (warning.name === 'MaxListenersExceededWarning') report('warning', warning)
  })
}
