import { useEffect, useState } from 'preact/hooks'

/** How long somebody stops typing before a text counts, in milliseconds. */
const pause = 250

/** A text as it was when it last stood still. */
export function useSettled(text: string): string {
  const [settled, settle] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => settle(text), pause)
    return () => clearTimeout(timer)
  }, [text])
  return settled
}
