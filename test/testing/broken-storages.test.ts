import { storageSuite } from 'headgate/testing'
import { expect, test } from 'vitest'
import { outcomeOf } from './cases.js'
import { brokenStorage, type StorageBug } from './storage-bugs/index.js'

const outcomeWith = (bug?: StorageBug, unsupported = {}) =>
  outcomeOf((test) => storageSuite({ test, create: (options) => brokenStorage(options, bug), unsupported }))

test('a sound storage passes every case', async () => {
  const { failed, skipped } = await outcomeWith()
  expect([Object.fromEntries(failed), skipped]).toEqual([{}, []])
})

/** The cases that notice each bug. */
const noticed: Record<StorageBug, string[]> = {
  'starts two at once': [
    'begin: of 50 at once, one starts',
    'begin: of 50 at once over an expired lease, one starts',
    'schedule: of 50 for one time at once, one starts, although it ends at once',
    'orphans: of 50 concurrent resumes of one orphan, one starts',
    'partitions: of 50 starts of one at once, one starts',
  ],
  'forgets the checkpoint at a start': [
    'begin: takes over the checkpoint, and nothing else',
    'begin: takes over the checkpoint from before executions that wrote none',
    'begin: takes over the checkpoint of an execution with an expired lease',
    'begin: a given checkpoint takes the place of the earlier one, and everything else is as before',
    'partitions: each inherits its own checkpoint',
    'reset: sets or clears where the next execution begins',
    'reset: changes nothing of a live job',
    'reset: of a job that never ran: it is still not found, and begins there',
    'retention: the last execution of every job stays',
  ],
  'inherits the count': [
    'begin: takes over the checkpoint, and nothing else',
    'begin: takes over the checkpoint of an execution with an expired lease',
  ],
  'clears progress that is not given': [
    'renew: keeps what is not given',
    'renew: replaces the detail',
    'renew: concurrent renewals lose nothing',
  ],
  'merges details': ['renew: replaces the detail'],
  'renews no lease': [
    'begin: takes over the checkpoint of an execution with an expired lease',
    'renew: renews the lease',
    'lease: its expiry keeps saved progress',
  ],
  'hides an abort from renewals': ['renew: shows that an abort was requested, and does not undo it'],
  'renews under any epoch': [
    'renew: writes nothing under another epoch',
    'claim: the token from before can neither renew, run nor finish',
  ],
  'claims twice': [
    'claim: of 50 at once, one succeeds',
    'claim: of 50 at once against an abort, one succeeds, and is aborting',
    'claim: is refused for an execution that has a node',
    'claim: is refused for a claimed execution, in any epoch',
    'claim: is refused under another epoch, or another id',
  ],
  'claims under any epoch': ['claim: is refused under another epoch, or another id'],
  'claims for no lease': [
    'claim: sets the node, the next epoch and a lease, and the execution runs',
    'claim: the lease of a claimed execution expires like any other',
  ],
  'counts the wait as run': ['claim: sets the node, the next epoch and a lease, and the execution runs'],
  'lets unclaimed executions expire': [
    'claim: an unclaimed execution has no node and no lease, and prevents a second start',
    'claim: an unclaimed execution can be finished by any node',
    'claim: an unclaimed execution does not expire',
  ],
  'finishes no unclaimed execution': [
    'claim: is refused for an execution that has ended',
    'claim: is refused under another epoch, or another id',
    'claim: an unclaimed execution can be finished by any node',
  ],
  'claims as running what is aborting': ['claim: an execution that was aborted while it was queued stays aborting'],
  'runs what is aborting': ['run: an execution with an abort request stays aborting'],
  'starts again what runs': ['run: changes nothing of an execution that runs already'],
  'runs under any epoch': [
    'claim: the token from before can neither renew, run nor finish',
    'run: is refused under another epoch, another id, and after the end',
  ],
  'runs after its lease': [
    'run: a queued execution begins to run, and its start time is then',
    'run: is refused when the lease has expired',
  ],
  'drops the detail at the end': ['finish: stores the given detail, or keeps the one before, also in the log'],
  'ends under any epoch': [
    'claim: the token from before can neither renew, run nor finish',
    'claim: of a concurrent claim and finish, one succeeds',
    'finish: ends nothing under another epoch or execution',
  ],
  'calls aborted what was asked to abort': ['finish: decides how an execution ended after an abort request'],
  'renews what has ended': [
    'renew: writes nothing for another execution',
    'end: nothing changes an execution that has ended',
    'lease: a late save is refused',
    'lease: a late writer does not change the next execution',
  ],
  'aborts what has ended': [
    'abort: returns an ended execution unchanged',
    'abort: of an execution by its id leaves another one alone',
    'abort: the first request decides on the reason',
    'lease: one that ran out is settled by requestAbort',
  ],
  'aborts whatever is live': ['abort: of an execution by its id leaves another one alone'],
  'ends what has ended': [
    'finish: of 20 at once, one ends the execution',
    'end: nothing changes an execution that has ended',
    'lease: a late finish is refused after the lease was settled',
    'lease: a late writer does not change the next execution',
  ],
  'finds expired leases': [
    'claim: the lease of a claimed execution expires like any other',
    'lease: one that ran out is settled by find',
    'lease: a late finish is refused after the lease was settled',
    'lease: expires for queued and aborting executions too',
    'lease: its expiry keeps saved progress',
    'orphans: an execution with an abort request does not become one',
    'partitions: an expired lease is settled, and makes an orphan that can be resumed',
    'watch: reports an expired lease when a read has settled it',
    'ends: an expired lease counts, when a read has settled it',
  ],
  'lists expired leases': [
    'lease: one that ran out is settled by live',
    'lease: of one job expires without the others',
  ],
  'searches no expired leases': ['lease: one that ran out is settled by search'],
  'aborts expired leases': ['lease: one that ran out is settled by requestAbort'],
  'lists no expired leases as orphans': [
    'lease: one that ran out is settled by orphans',
    'orphans: an execution with an expired lease is one',
  ],
  'begins no job with an expired lease': [
    'begin: of 50 at once over an expired lease, one starts',
    'begin: takes over the checkpoint of an execution with an expired lease',
    'schedule: an expired lease does not allow a second start for the same time',
    'lease: one that ran out is settled by begin',
    'lease: after it expired, a new execution may begin',
    'lease: a late writer does not change the next execution',
    'orphans: of 50 concurrent resumes of one orphan, one starts',
  ],
  'renews expired leases': ['lease: a late save is refused'],
  'ends nothing late': ['lease: a late finish succeeds before the lease is settled'],
  'calls orphans what was asked to abort': ['orphans: an execution with an abort request does not become one'],
  'makes no orphan at a close': [
    'claim: keeps everything else',
    'schedule: a start with a time and an orphan must satisfy both conditions',
    'params: an execution that resumes an orphan has those of the orphan, unless others are given',
    'orphans: an execution that its node released is one',
    'orphans: an orphan is listed until a node resumes it',
    'orphans: an execution that resumes an orphan may become one',
    'orphans: all types and jobs are listed',
    'orphans: are listed in pages, oldest first, also while nodes resume them',
    'ends: an orphan stays open when another start follows, and the log tells what resumed it',
  ],
  'lists resumed orphans': [
    'orphans: an orphan is listed until a node resumes it',
    'orphans: an orphan is listed until the job starts again',
    'orphans: an execution that resumes an orphan may become one',
    'orphans: are listed in pages, oldest first, also while nodes resume them',
    'partitions: an expired lease is settled, and makes an orphan that can be resumed',
  ],
  'lists orphans in one page': ['orphans: are listed in pages, oldest first, also while nodes resume them'],
  'forgets what it resumes': [
    'schedule: a start with a time and an orphan must satisfy both conditions',
    'orphans: an orphan is listed until a node resumes it',
    'partitions: an expired lease is settled, and makes an orphan that can be resumed',
  ],
  'resumes what is no orphan': ['orphans: a resume is refused unless the orphan is the last execution of the job'],
  'lists partitions unasked': ['partitions: live executions are listed on request'],
  'searches partitions unasked': ['partitions: a search finds live and ended ones on request'],
  'lists no orphaned partitions': ['partitions: an expired lease is settled, and makes an orphan that can be resumed'],
  'aborts the job of a partition': ['partitions: an abort, a claim and an end affect one partition only'],
  'finds the job in place of a partition': ['partitions: each is live on its own, beside its job'],
  'deletes the last executions of jobs': ['retention: the last execution of every job stays'],
  'deletes live executions': ['retention: live executions stay'],
  'deletes the newest executions': ['retention: the newest executions are kept'],
  'deletes the times of schedules': ['retention: the last time of a schedule stays'],
  'starts a scheduled time twice': [
    'schedule: the same time and earlier ones start nothing more, later ones do',
    'schedule: executions without a time carry the last one over',
    'schedule: an expired lease does not allow a second start for the same time',
    'schedule: a start with a time and an orphan must satisfy both conditions',
    'retention: the last time of a schedule stays',
  ],
  'starts earlier times': ['schedule: the same time and earlier ones start nothing more, later ones do'],
  'shares the times of jobs': [
    'schedule: the same time and earlier ones start nothing more, later ones do',
    'schedule: each job has its own times',
  ],
  'logs no times of schedules': ['schedule: the scheduled time of an execution is stored, also in the log'],
  'skips nothing': [
    'partitions: a search finds live and ended ones on request',
    'search: returns 10 by default, and the total regardless of the page',
  ],
  'gives all at once': ['search: returns 10 by default, and the total regardless of the page'],
  'ends its ranges early': [
    'search: every filter, and all of them together, select matching executions',
    'search: start times are inclusive at both ends',
  ],
  'ignores the state': [
    'lease: one that ran out is settled by begin',
    'search: every filter, and all of them together, select matching executions',
    'search: searchAfter works with every filter',
  ],
  'counts the page': [
    'partitions: a search finds live and ended ones on request',
    'search: returns 10 by default, and the total regardless of the page',
  ],
  'needs the execution of searchAfter': [
    'partitions: a search finds live and ended ones on request',
    'search: searchAfter works after an execution that was deleted',
  ],
  'orders the log by ends': ['search: an execution that ended late keeps its place'],
  'orders live executions by starts': ['live: an execution that left the queue keeps its place'],
  'lists live executions of all types': ['live: all live executions of a type, in the order of their ids'],
  'lists live executions in one page': [
    'partitions: live executions are listed on request',
    'live: in pages, also while executions begin and end',
  ],
  'finds the first execution': [
    'renew: writes nothing for another execution',
    'claim: is refused under another epoch, or another id',
    'run: is refused under another epoch, another id, and after the end',
    'abort: of an execution by its id leaves another one alone',
    'begin: a given checkpoint takes the place of the earlier one, and everything else is as before',
    'lease: a late writer does not change the next execution',
    'orphans: an orphan is listed until a node resumes it',
    'find: the live execution, else the last one',
    'latest: the live or the last execution of each job',
    'reset: changes nothing of a live job',
    'ends: settling does not depend on the claim, or on the last execution',
  ],
  'folds the case of ids': [
    'values: ids with any characters are different ids',
    'values: an id of any characters pages the log',
    'latest: of 1,000 jobs, with any characters',
  ],
  'trims types': ['values: types with any characters are different types'],
  'drops checkpoints that are falsy': ['values: a checkpoint comes back as it was'],
  'cuts long details': ['values: a detail comes back as it was'],
  'rounds counts': ['values: counts and errors of any size come back as they were'],
  'keeps the checkpoint of its caller': ['values: later changes of arguments and results do not change the storage'],
  'emits nothing of the queue': [
    'watch: reports every change of state, and which execution changed',
    'watch: reports a claim',
  ],
  'emits nothing of aborts': [
    'watch: reports every change of state, and which execution changed',
    'watch: reports an abort request, also of another process',
  ],
  'emits nothing of ends': [
    'watch: reports every change of state, and which execution changed',
    'watch: does not report progress',
    'watch: reports the end of an execution',
    'watch: reports an expired lease when a read has settled it',
    'watch: reports nothing after it was stopped',
  ],
  'emits nothing of runs': [
    'watch: reports every change of state, and which execution changed',
    'watch: does not report progress',
    'watch: reports a claim',
    'watch: reports which partition changed',
  ],
  'emits no partitions': ['watch: reports which partition changed'],
  'emits nothing of expired leases': ['watch: reports an expired lease when a read has settled it'],
  'emits progress': ['watch: does not report progress'],
  'emits after the stop': ['watch: reports nothing after it was stopped'],
  'forgets params': [
    'params: are stored, also in the log, and the next start has none',
    'params: an execution that resumes an orphan has those of the orphan, unless others are given',
    'params: later changes of the caller are not stored',
  ],
  'keeps params for the next start': ['params: are stored, also in the log, and the next start has none'],
  'resumes without params': [
    'params: an execution that resumes an orphan has those of the orphan, unless others are given',
  ],
  'keeps the params of its caller': ['params: later changes of the caller are not stored'],
  'keeps the earlier checkpoint': [
    'begin: a given checkpoint takes the place of the earlier one, and everything else is as before',
  ],
  'gives the last reason': ['abort: the first request decides on the reason'],
  'appends log tails': ['log tail: is replaced by each save, kept without one, and gone at the next start'],
  'drops the log tail at the end': [
    'log tail: is replaced by each save, kept without one, and gone at the next start',
    'log tail: may be given with the end',
  ],
  'gives the latest that have ended': ['latest: the live or the last execution of each job'],
  'gives the latest of few': ['latest: of 1,000 jobs, with any characters'],
  'gives expired leases as the latest': ['latest: settles an expired lease'],
  'lists no pauses': [
    'pause: is listed with its reason and time, also by another process',
    'pause: what is paused stays as it is',
    'pause: that of all jobs and those of single jobs are independent',
  ],
  'forgets who paused': ['pause: is listed with its reason and time, also by another process'],
  'gives no time of pauses': [
    'pause: is listed with its reason and time, also by another process',
    'pause: of a job that never ran, without a reason',
    'pause: what is paused stays as it is',
  ],
  'pauses anew': ['pause: what is paused stays as it is'],
  'unpauses jobs with all': ['pause: that of all jobs and those of single jobs are independent'],
  'resets nothing': [
    'reset: sets or clears where the next execution begins',
    'reset: changes nothing of a live job',
    'reset: with the id of an execution, only while that is the last one',
    'reset: clears the checkpoints of partitions, of that job only',
    'reset: a live partition prevents it',
    'reset: of a job that never ran: it is still not found, and begins there',
    'reset: with a concurrent start, one of them comes first',
  ],
  'resets live jobs': ['reset: changes nothing of a live job'],
  'resets expired leases as live': ['reset: settles an expired lease'],
  'resets no partitions': ['reset: clears the checkpoints of partitions, of that job only'],
  'resets under live partitions': ['reset: a live partition prevents it'],
  'resets whichever execution is the last one': ['reset: with the id of an execution, only while that is the last one'],
  'resets no job that never ran': [
    'reset: with the id of an execution, only while that is the last one',
    'reset: of a job that never ran: it is still not found, and begins there',
  ],
  'claims more ends than asked': ['ends: of many concurrent claims one gets each, and up to `size`'],
  'claims ends again at once': [
    'ends: a claimed one is not claimed again until the claim expires',
    'ends: of many concurrent claims one gets each, and up to `size`',
  ],
  'claims ends for ever': ['ends: a claimed one is not claimed again until the claim expires'],
  'claims ends of the jobs that are left out': ['ends: those of the jobs that a claim leaves out stay open'],
  'claims ends by their starts': ['ends: those whose notification is open, the first that ended first'],
  'notifies of the next end too': ['ends: the next start asks for itself'],
  'settles no ends': [
    'ends: a settled one is done, and says so, also in the log',
    'ends: settling does not depend on the claim, or on the last execution',
  ],
  'settles the last ends only': ['ends: settling does not depend on the claim, or on the last execution'],
  'takes every later start for a resume': [
    'ends: an orphan stays open when another start follows, and the log tells what resumed it',
  ],
  'notifies of no lost nodes': [
    'ends: an expired lease counts, when a read has settled it',
    'ends: an orphan stays open when another start follows, and the log tells what resumed it',
  ],
}

test.each(Object.entries(noticed))('a storage that %s fails for it alone', async (bug, cases) => {
  const { failed } = await outcomeWith(bug as StorageBug)
  expect([...failed.keys()]).toEqual(cases)
})

test('a storage without `watch`, that keeps its whole log, fails, unless it says so: then the cases show as skipped', async () => {
  const create = () => {
    const { storage, ...fixture } = brokenStorage({})
    const { watch: _, ...plain } = storage
    return { ...fixture, storage: plain }
  }
  const { failed } = await outcomeOf((test) => storageSuite({ test, create }))
  expect([...failed.keys()].every((name) => name.startsWith('watch: '))).toBe(true)
  expect(failed.size).toBe(8)
  const unsupported = { watch: 'it is small', retain: 'it has room' }
  const said = await outcomeOf((test) => storageSuite({ test, create, unsupported }))
  expect([said.failed.size, said.skipped.length]).toEqual([0, 12])
  expect(said.skipped.at(-1)).toMatch(/^retention: .* \(unsupported retain: it has room\)$/)
  expect(said.passed.filter((name) => /^(watch|retention): /.test(name))).toEqual([])
})

test('a storage without the optional members that manage jobs fails, unless it says so', async () => {
  const create = () => {
    const { storage, ...fixture } = brokenStorage({})
    const { latest: _, pauses: __, reset: ___, ends: ____, ...plain } = storage
    return { ...fixture, storage: plain }
  }
  const managed = /^(latest|pause|reset|ends): /
  const { failed } = await outcomeOf((test) => storageSuite({ test, create }))
  expect([...failed.keys()].every((name) => managed.test(name))).toBe(true)
  const unsupported = { latest: 'it is small', pauses: 'it is small', reset: 'it is small', ends: 'it is small' }
  const said = await outcomeOf((test) => storageSuite({ test, create, unsupported }))
  expect([said.failed.size, said.skipped.length]).toEqual([0, failed.size])
})
