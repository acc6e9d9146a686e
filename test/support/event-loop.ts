/** The longest time that the event loop is blocked during work, in milliseconds. */
export async function longestBlockDuring(work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 1)
  await work()
  clearInterval(timer)
  look()
  return longest
}

/** How long a turn of the event loop takes on average during work, in milliseconds: unlike the longest one, a busy machine does not change it. */
export async function perTurn(work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = () => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const { user, system } = process.cpuUsage()
  await work()
  isOver = true
  const used = process.cpuUsage({ user, system })
  return (used.user + used.system) / 1000 / turns
}
