import { type JobEventName, type JobEvents, type JobListener, memoryStorage } from 'headgate'
import { fakeClock, recordEvents } from 'headgate/testing'
import { describe, expect, test } from 'vitest'
import { Registry } from '../../src/core/registry/registry.js'

function setUp(timeout = 5000) {
  const clock = fakeClock()
  const registry = new Registry({ storage: memoryStorage({ clock }), clock, progressInterval: 0 })
  registry.define({ type: 'test', id: 'a', run: ({ progress }) => progress({ count: 1, lastId: 'x' }) })
  registry.define({ type: 'test', id: 'b', run: () => Promise.reject(new RangeError('ordered')) })
  return { clock, registry, recorder: recordEvents(registry, { timeout }) }
}

describe('recordEvents', () => {
  test('records every event in order, as status and by its own name', async () => {
    const { registry, recorder } = setUp()
    await (await registry.start('test', 'a')).finished
    expect(recorder.events.map(({ name, status }) => [name, status.state])).toEqual([
      ['status', 'running'],
      ['running', 'running'],
      ['status', 'running'],
      ['progress', 'running'],
      ['status', 'successful'],
      ['successful', 'successful'],
    ])
  })

  test('tells the states of one job', async () => {
    const { registry, recorder } = setUp()
    await (await registry.start('test', 'a')).finished
    await (await registry.start('test', 'b')).finished
    await (await registry.start('test', 'a')).finished
    expect(recorder.states('test', 'a')).toEqual(['running', 'successful', 'running', 'successful'])
    expect(recorder.states('test', 'b')).toEqual(['running', 'error'])
    expect(recorder.states('test', 'c')).toEqual([])
  })

  test('waits for an event to come, with its type', async () => {
    const { registry, recorder } = setUp()
    const waiting = recorder.waitFor('error', ({ status }) => status.error.includes('ordered'))
    await registry.start('test', 'b')
    const event = await waiting
    expect(event.status.endTime).toBeTypeOf('number')
    expect(event.cause).toBeInstanceOf(RangeError)
  })

  test('gives an event that was recorded already', async () => {
    const { registry, recorder } = setUp()
    await (await registry.start('test', 'a')).finished
    const { status } = await recorder.waitFor('progress', ({ status }) => status.count > 0)
    expect(status.lastId).toBe('x')
  })

  test('gives up with what was seen', async () => {
    const { registry, recorder } = setUp(20)
    await (await registry.start('test', 'a')).finished
    await expect(recorder.waitFor('aborted')).rejects.toThrow(
      'Expected an event `aborted` within 20 ms, saw \n  running [test/a] count 0\n  progress [test/a] count 1\n  successful [test/a] count 1',
    )
  })

  test('ends its waits and hears no more once it is stopped', async () => {
    const { registry, recorder } = setUp()
    const waiting = recorder.waitFor('aborted')
    recorder.stop()
    await expect(waiting).rejects.toThrow('Expected an event `aborted` before the recorder was stopped, saw none')
    await (await registry.start('test', 'a')).finished
    expect(recorder.events).toEqual([])
  })

  test.each(['recorded already', 'still to come'])('passes on what a predicate throws at an event %s', async (when) => {
    const { registry, recorder } = setUp()
    const run = async () => (await registry.start('test', 'a')).finished
    if (when === 'recorded already') await run()
    const waiting = recorder.waitFor('running', () => {
      throw new TypeError('from the predicate')
    })
    await Promise.all([expect(waiting).rejects.toThrow('from the predicate'), run()])
  })

  test('takes off the listeners that it put on', () => {
    const listening = new Set<JobListener>()
    const source = {
      on<Name extends JobEventName>(_name: Name, listener: (event: JobEvents[Name]) => void) {
        listening.add(listener as JobListener)
        return () => void listening.delete(listener as JobListener)
      },
    }
    const recorder = recordEvents(source)
    expect(listening.size).toBe(8)
    recorder.stop()
    expect(listening.size).toBe(0)
  })
})
