/** Runs the job of a round in a process of its own, which may be killed at any moment. */

import { jobId, open, openStorage } from './job.js'
import type { Plan } from './plan.js'
import type { Place } from './world.js'

const [plan, place] = JSON.parse(process.argv[2] as string) as [Plan, Place]
const registry = open(plan, place, openStorage(plan, place))
const { finished } = await registry.start('ingestion', jobId)
process.send?.('started')
const status = await finished
await registry.close()
process.send?.(status, () => process.exit())
