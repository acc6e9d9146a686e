/** Takes the place of the redactor in the page, whose server has redacted what it sends: shortens only. */
export const commonRedactor = {
  shorten: (text: string, max: number): string => (text.length > max ? `${text.slice(0, max)}…` : text),
}

/** For log entries, which the page does not have. */
export const isSecretName = (): boolean => false
