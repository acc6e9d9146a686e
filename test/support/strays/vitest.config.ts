import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('.', import.meta.url).pathname,
    include: ['strays.case.ts'],
    globalSetup: './setup.ts',
    setupFiles: '../strays.ts',
    reporters: 'default',
  },
})
