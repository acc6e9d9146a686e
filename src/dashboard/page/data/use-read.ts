import { useEffect, useState } from 'preact/hooks'
import { reach } from './server.js'

/** What has been read: nothing yet, a value, or why not. A value stays while it is read again. */
export interface Read<Value> {
  readonly value?: Value
  readonly error?: unknown
  readonly isReading: boolean
  again(): void
}

/** Reads something whenever `keys` change. An answer that comes after that is dropped. */
export function useRead<Value>(read: (signal: AbortSignal) => Promise<Value>, keys: readonly unknown[]): Read<Value> {
  const [state, setState] = useState<{ value?: Value; error?: unknown; isReading: boolean }>({ isReading: true })
  const [round, setRound] = useState(0)
  useEffect(() => {
    const over = new AbortController()
    setState((before) => ({ ...before, isReading: true }))
    read(over.signal).then(
      (value) => !over.signal.aborted && setState({ value, isReading: false }),
      (error) => !over.signal.aborted && setState((before) => ({ ...before, error, isReading: false })),
    )
    return () => over.abort('The view has changed.')
  }, [...keys, round])
  const again = () => setRound((before) => before + 1)
  // What failed while the server was away, is read once it is back.
  const isBack = reach.value === 'online'
  useEffect(() => {
    if (isBack && state.error !== undefined) again()
  }, [isBack])
  return { ...state, again }
}
