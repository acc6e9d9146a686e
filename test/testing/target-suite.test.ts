import { collectingTarget, type TargetRecord, targetSuite } from 'headgate/testing'
import { describe, test } from 'vitest'

describe('collectingTarget keeps the contract of a target', () => {
  targetSuite({
    test,
    create({ strategy }) {
      const target = collectingTarget({ strategy, refuses: ({ text }) => text === 'refused' })
      const refused = (id: number) => ({ id, text: 'refused', nested: null })
      return { target, read: () => target.records as readonly TargetRecord[], refused }
    },
    unsupported: {
      writesDuringFlush: 'it has nothing to flush',
      writesIdempotently: 'it writes atomically',
      check: 'it is in memory',
      checkFullRefresh: 'nothing stands in its way',
      acceptsEncoded: 'it stores objects',
      createEmpty: 'nothing is missing',
      checkpoint: 'storage keeps its checkpoints',
      truncate: 'it collects what one test writes',
      resetCheckpoint: 'storage keeps its checkpoints',
      isReset: 'nothing else empties it',
      isBroken: 'it has no connection',
      recordIndex: 'it throws what the test orders',
    },
  })
})
