import { signal } from '@preact/signals'

/** A sentence at the bottom of the page: what a click has done, or why it failed. */
export interface Notice {
  readonly id: number
  readonly text: string
  readonly isError: boolean
}

/** What is told now, oldest first. */
export const notices = signal<readonly Notice[]>([])

let lastId = 0

/** Tells something. Errors stay until they are closed, or until another view is shown. */
export function notify(text: string, { isError = false } = {}): void {
  const notice = { id: ++lastId, text, isError }
  notices.value = [...notices.value.slice(-2), notice]
  if (!isError) setTimeout(() => closeNotice(notice), 5000)
}

/** Closes the errors: another view is shown than the one that they are about. */
export function closeErrors(): void {
  notices.value = notices.value.filter(({ isError }) => !isError)
}

/** Closes a notice. */
export function closeNotice({ id }: Notice): void {
  notices.value = notices.value.filter((notice) => notice.id !== id)
}
