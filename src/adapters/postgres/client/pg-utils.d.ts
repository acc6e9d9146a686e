declare module 'pg/lib/utils.js' {
  const utils: {
    /** The text or bytes that pg sends for a parameter's value. */
    prepareValue(value: unknown): string | Buffer | null
  }
  export default utils
}
