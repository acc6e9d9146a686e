import { useState } from 'preact/hooks'
import { formatLength } from '../data/format.js'
import { Coded } from './coded.js'

/** How many characters are shown at first, and how many each part of a whole text has. */
const shownAtFirst = 2000
const partLength = 20_000

/** A text of any length. A long one is cut, and shown as a whole in parts that the browser draws when they come into view. */
export function LongText({ text, label, isMessage }: { text: string; label: string; isMessage?: boolean }) {
  const [isWhole, setWhole] = useState(false)
  if (text.length <= shownAtFirst) return <>{isMessage ? <Coded text={text} /> : text}</>
  if (!isWhole)
    return (
      <>
        {text.slice(0, shownAtFirst)}…{' '}
        <button type="button" class="text-button" onClick={() => setWhole(true)}>
          Show all of {label} ({formatLength(text.length)})
        </button>
      </>
    )
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs to be reached by the keyboard
    <section class="whole-text" aria-label={label} tabIndex={0}>
      {partsOf(text).map((part, index) => (
        <div class="text-part" key={index}>
          {part}
        </div>
      ))}
    </section>
  )
}

function partsOf(text: string): string[] {
  return Array.from({ length: Math.ceil(text.length / partLength) }, (_, index) =>
    text.slice(index * partLength, (index + 1) * partLength),
  )
}
