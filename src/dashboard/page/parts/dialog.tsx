import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { reasonOf } from '../data/server.js'
import { Coded } from './coded.js'
import { Icon } from './icon.js'

/** The properties of a {@link FormDialog}. */
export interface FormDialogProps {
  readonly title: string
  /** What the button says that does it. */
  readonly action: string
  readonly isDangerous?: boolean
  /** Why it was refused before the dialog was opened. */
  readonly refused?: string | undefined
  readonly children: ComponentChildren
  /** Does it. The dialog closes when that has succeeded, and else says why not. */
  onSubmit(form: FormData): Promise<void>
  onClose(): void
}

/** A dialog, and what closes it. `onClose` is called once. */
export function useDialog(onClose: () => void) {
  const ref = useRef<HTMLDialogElement>(null)
  const isClosed = useRef(false)
  // At once: keys that are pressed from now on are meant for the dialog.
  useLayoutEffect(() => {
    ref.current?.showModal()
    // What somebody came for: the first field, or else the button that does it. Not what would start a job by one more key.
    ref.current
      ?.querySelector<HTMLElement>(
        '.dialog-body :is(input, textarea), [type="submit"], .menu button:not([data-at-once])',
      )
      ?.focus()
  }, [])
  const close = () => {
    ref.current?.close()
    if (isClosed.current) return
    isClosed.current = true
    onClose()
  }
  // The event of the browser comes later: a key that opens the next dialog may be before it.
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || event.isComposing) return
    event.preventDefault()
    close()
  }
  return { close, props: { ref, class: 'dialog', 'aria-labelledby': 'dialog-title', onClose: close, onKeyDown: press } }
}

/** The top of a dialog. */
export function DialogHead({ title, onClose }: { title: string; onClose: () => void }) {
  return (
    <div class="dialog-head">
      <h2 id="dialog-title">{title}</h2>
      <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
        <Icon name="close" />
      </button>
    </div>
  )
}

/** A dialog that asks before something is done. */
export function FormDialog({ title, action, isDangerous, refused, children, onSubmit, onClose }: FormDialogProps) {
  const { close, props } = useDialog(onClose)
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(refused)
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    if (isBusy) return
    setBusy(true)
    setError(undefined)
    try {
      await onSubmit(new FormData(event.target as HTMLFormElement))
      close()
    } catch (thrown) {
      setError(thrown)
      setBusy(false)
    }
  }
  return (
    <dialog {...props}>
      <form onSubmit={submit}>
        <DialogHead title={title} onClose={close} />
        <div class="dialog-body">
          {children}
          {error !== undefined && (
            <p class="form-error" role="alert">
              <Icon name="error" />
              <span>
                <Coded text={reasonOf(error)} />
              </span>
            </p>
          )}
        </div>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={`button ${isDangerous ? 'is-dangerous' : 'is-primary'}`} aria-disabled={isBusy}>
            {action}
          </button>
        </div>
      </form>
    </dialog>
  )
}

/** A field of a dialog, with what to know about it. The control gets the id that its label refers to. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(hint === undefined ? { id } : { id, 'aria-describedby': `${id}-hint` })}
      {hint !== undefined && (
        <span class="field-hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  )
}

interface FieldProps {
  readonly label: string
  readonly hint?: string
  children(names: { id: string; 'aria-describedby'?: string }): ComponentChildren
}
