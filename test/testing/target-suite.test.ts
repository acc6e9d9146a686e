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
  })
})
