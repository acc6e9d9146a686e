import { defineConfig } from 'tsup'
import manifest from './package.json' with { type: 'json' }

/** Every subpath that package.json exports is built from the source file of the same name. */
const entry = Object.values(manifest.exports)
  .filter((target) => typeof target === 'object')
  .map((target) => target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))

export default defineConfig({
  entry,
  format: 'esm',
  target: 'node20',
  clean: true,
  sourcemap: true,
  // tsup sets `baseUrl`, which TypeScript 6 deprecates.
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
})
