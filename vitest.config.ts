import { defineConfig } from 'vitest/config'

const shared = {
  globalSetup: ['test/support/global-setup.ts', 'test/support/strays-setup.ts'],
  setupFiles: ['test/support/strays.ts', 'test/support/hold-answers.ts'],
  testTimeout: 30_000,
  hookTimeout: 30_000,
}

/** Tests with processes that are killed at any moment: when all others are done. */
const faults = 'test/faults/**/*.test.ts'

/** Those of them that mainly wait, and can do so beside each other. The rest would starve whatever is beside it. */
const waits = ['clocks', 'cluster-events', 'connections', 'disk-full', 'dispatch', 'frozen', 'outages', 'silence'].map(
  (name) => `test/faults/${name}.test.ts`,
)

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
        test: { ...shared, name: 'waits', include: waits, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
      {
        resolve: { tsconfigPaths: true },
        test: {
          ...shared,
          name: 'faults',
          include: [faults],
          exclude: waits,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
