import type { ComponentChildren } from 'preact'
import { useId, useState } from 'preact/hooks'

/** Something that can be picked. */
export interface Choice {
  readonly key: string
  readonly label: ComponentChildren
  onPick(): void
}

/** What fits a text, best first, and how many more there are. */
export interface Found {
  readonly choices: readonly Choice[]
  readonly more: number
}

interface ComboboxProps {
  readonly label: string
  readonly placeholder: string
  readonly shortcut?: string
  find(text: string): Found
}

/** A field that finds something while somebody types, by the pattern of WAI-ARIA: the focus stays in the field. */
export function Combobox({ label, placeholder, shortcut, find }: ComboboxProps) {
  const id = useId()
  const { text, isOpen, active, found, type, open, close, pick, press } = useCombobox(id, find)
  return (
    <div class="filter combobox">
      <label for={id}>{label}</label>
      <input
        id={id}
        role="combobox"
        aria-expanded={isOpen}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={active >= 0 ? `${id}-${active}` : undefined}
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        data-shortcut={shortcut}
        value={text}
        onInput={(event) => type(event.currentTarget.value)}
        onClick={open}
        onKeyDown={press}
        onBlur={close}
      />
      <Choices id={id} label={label} isOpen={isOpen} active={active} found={found} onPick={pick} />
    </div>
  )
}

function useCombobox(id: string, find: ComboboxProps['find']) {
  const [text, setText] = useState('')
  const [isOpen, setOpen] = useState(false)
  const [active, setActive] = useState(-1)
  const found: Found = isOpen ? find(text) : { choices: [], more: 0 }
  const { choices } = found
  const open = () => setOpen(true)
  const close = () => {
    setOpen(false)
    setActive(-1)
  }
  const pick = (choice: Choice | undefined) => {
    setText('')
    close()
    choice?.onPick()
  }
  const move = (to: number) => {
    open()
    setActive((to + choices.length) % Math.max(1, choices.length))
    setTimeout(() => document.querySelector(`#${id}-list [aria-selected="true"]`)?.scrollIntoView({ block: 'nearest' }))
  }
  const type = (typed: string) => {
    setText(typed)
    open()
    setActive(-1)
  }
  const press = (event: KeyboardEvent) => {
    const keys: Record<string, (() => void) | undefined> = {
      ArrowDown: () => move(active + 1),
      ArrowUp: () => move(active < 0 ? choices.length - 1 : active - 1),
      // What fits best, when none is chosen.
      Enter: () => isOpen && (active >= 0 || text !== '') && pick(choices[Math.max(0, active)]),
      Escape: isOpen ? close : () => setText(''),
    }
    const does = event.isComposing ? undefined : keys[event.key]
    if (does) event.preventDefault()
    does?.()
  }
  return { text, isOpen, active, found, type, open, close, pick, press }
}

function Choices(props: {
  id: string
  label: string
  isOpen: boolean
  active: number
  found: Found
  onPick: (choice: Choice) => void
}) {
  const { id, label, isOpen, active, onPick } = props
  const { choices, more } = props.found
  return (
    // The field would lose the focus first.
    <div class="choices" hidden={!isOpen} onPointerDown={(event) => event.preventDefault()}>
      <div id={`${id}-list`} class="choice-list" role="listbox" aria-label={label}>
        {choices.map((choice, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the field
          // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the field
          <div
            key={choice.key}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active}
            onClick={() => onPick(choice)}
          >
            {choice.label}
          </div>
        ))}
      </div>
      {(more > 0 || choices.length === 0) && (
        <p class="muted">{more > 0 ? `${more} more: type a part of the type or the id` : 'No jobs match'}</p>
      )}
    </div>
  )
}
