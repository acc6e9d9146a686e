/** A page of your own that shows jobs live, starts and aborts them by `headgate/client`: `npx tsx examples/client-page/index.ts`, then http://localhost:3000. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'

const registry = new JobRegistry({ storage: memoryStorage() })
for (const id of ['customers', 'orders']) {
  registry.define({
    type: 'copy',
    id,
    async run({ signal, progress }) {
      for (let count = 1; count <= 100; count++) {
        await setTimeout(100, undefined, { signal })
        progress({ count })
      }
    },
  })
}

// What a bundler makes of the client, for a page that has none of its own.
const { outputFiles } = await build({
  stdin: { contents: "export { JobsClient } from 'headgate/client'", resolveDir: import.meta.dirname },
  bundle: true,
  format: 'esm',
  minify: true,
  write: false,
})
const page = await readFile(fileURLToPath(new URL('page.html', import.meta.url)))

const serveJobs = toNodeHandler(createJobsHandler(registry, { basePath: '/jobs' }))
const server = createServer((request, response) =>
  serveJobs(request, response, () => {
    const isScript = request.url === '/client.js'
    response.setHeader('content-type', `${isScript ? 'text/javascript' : 'text/html'}; charset=utf-8`)
    response.end(isScript ? outputFiles[0]?.contents : page)
  }),
)
server.listen(Number(process.env.PORT ?? 3000), () => console.log(server.address()))
