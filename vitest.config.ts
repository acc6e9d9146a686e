import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    include: ['test/**/*.test.ts', 'examples/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    setupFiles: 'test/support/hold-answers.ts',
    testTimeout: 20_000,
    // Most of them wait for a server or a process, so that two share two cores well.
    maxWorkers: 2,
  },
})
