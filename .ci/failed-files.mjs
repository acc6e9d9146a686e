// Reads reports of vitest. Prints the files with failures, one per line. With `--result`, prints how many tests passed and failed,
// where a second report, if there is one, has the last word on the failures of the first.
import { existsSync, readFileSync } from 'node:fs'

const isResult = process.argv[2] === '--result'
const [all, again] = process.argv
  .slice(isResult ? 3 : 2)
  .filter(existsSync)
  .map((path) => JSON.parse(readFileSync(path, 'utf8')))

if (isResult) {
  const { numPassedTests: passed, numFailedTests: failed } = all
  const left = again ? again.numFailedTests : failed
  if (again) console.log(`${failed} tests failed beside others, and ${left} of them alone.`)
  console.log(`${passed + failed - left} passed, ${left} failed`)
} else {
  const failed = all.testResults.filter(({ status }) => status === 'failed')
  for (const { name } of failed) console.log(name)
}
