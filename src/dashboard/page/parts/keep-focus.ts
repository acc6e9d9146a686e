/** Where an element stood when it got the focus: its ancestors, innermost first, and its place among the children of each. */
type Path = readonly { readonly parent: Element; readonly index: number }[]

const focusable = 'a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex="-1"])'

let focused: Element | undefined
let path: Path = []
/** Whether it starts something: then the focus goes to what may be done with what runs now. */
let isAction = false

/**
 * Keeps the focus in its place when the element that has it goes away, as a button does whose action is done: it goes to what has
 * taken its place, else to the heading. A browser would let the next key begin at the top of the page.
 */
export function keepFocus(): void {
  document.addEventListener('focusin', ({ target }) => {
    // A dialog gives the focus back to what has opened it.
    if (!(target instanceof Element) || target.closest('dialog')) return
    focused = target
    path = pathOf(target)
    isAction = target.closest('.actions, .past-note') !== null
  })
  document.addEventListener('focusout', ({ target, relatedTarget }) => {
    if (relatedTarget === null) queueMicrotask(() => forgetLeft(target))
  })
  new MutationObserver(restore).observe(document.body, { childList: true, subtree: true })
}

/** Somebody has clicked beside it. */
function forgetLeft(left: EventTarget | null): void {
  if (left === focused && focused?.isConnected && !document.querySelector('dialog[open]')) focused = undefined
}

function restore(): void {
  // What is beside it may come and go.
  if (focused?.isConnected) path = pathOf(focused)
  const isLost = focused && !focused.isConnected && document.activeElement === document.body
  if (!isLost) return
  const next = primaryAction() ?? placeOf(path)
  // A key that is pressed once too often must not start a job.
  const isHarmless = next && !next.matches('[data-at-once]')
  ;(isHarmless ? next : document.querySelector<HTMLElement>('h1'))?.focus({ preventScroll: true })
}

/** What comes first among what may be done, for somebody who has just done something else there. */
function primaryAction(): HTMLElement | null {
  return isAction ? document.querySelector<HTMLElement>('.actions button') : null
}

function pathOf(element: Element): Path {
  const steps: { parent: Element; index: number }[] = []
  for (let child = element; child.parentElement && child !== document.body; child = child.parentElement)
    steps.push({ parent: child.parentElement, index: [...child.parentElement.children].indexOf(child) })
  return steps
}

/** What stands now where the path leads, or nearest to it. */
function placeOf(steps: Path): HTMLElement | null {
  for (const { parent, index } of steps.filter(({ parent }) => parent.isConnected && parent.closest('main'))) {
    const place = parent.children[Math.min(index, parent.children.length - 1)]
    if (place?.matches(focusable)) return place as HTMLElement
    const inside = (place ?? parent).querySelector<HTMLElement>(`h2, ${focusable}`)
    if (inside) return inside
  }
  return document.querySelector<HTMLElement>('h1')
}
