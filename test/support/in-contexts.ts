/** A text, also with more behind it, and as other texts quote it. */
export function inContexts(text: string): string[] {
  return [
    text,
    `${text} and more`,
    `${text},"quantity":-1,"why":"negative"}`,
    JSON.stringify({ text, why: 'negative' }),
    JSON.stringify(JSON.stringify({ text, why: 'negative' })),
  ]
}
