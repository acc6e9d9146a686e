declare module 'pg/lib/utils.js' {
  const utils: {
    /** What pg sends for a value, in the place of a parameter. */
    prepareValue(value: unknown): string | Buffer | null
  }
  export default utils
}
