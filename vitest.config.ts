import { defineConfig } from 'vitest/config'

const shared = {
  globalSetup: 'test/support/global-setup.ts',
  setupFiles: 'test/support/hold-answers.ts',
  testTimeout: 30_000,
  hookTimeout: 30_000,
}

/** Tests with processes that are killed at any moment: one file at a time, when all others are done. */
const faults = 'test/faults/**/*.test.ts'

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { tsconfigPaths: true },
        test: {
          ...shared,
          name: 'parts',
          include: ['test/**/*.test.ts', 'examples/**/*.test.ts'],
          exclude: [faults],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve: { tsconfigPaths: true },
        test: { ...shared, name: 'faults', include: [faults], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
