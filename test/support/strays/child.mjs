const [, , what] = process.argv

const acts = {
  throw: () => {
    throw new Error('thrown in a process')
  },
  reject: () => void Promise.reject(new Error('rejected in a process')),
  hide: () => {
    process.on('uncaughtException', () => process.send('hidden'))
    setTimeout(() => undefined, 60_000)
    throw new Error('hidden in a process')
  },
  warn: () => {
    for (let count = 0; count < 20; count++) process.on('SIGUSR2', () => undefined)
    process.disconnect()
  },
  later: () => {
    process.on('disconnect', () => {
      throw new Error('thrown too late')
    })
    process.send('ready')
  },
}

setImmediate(acts[what])
