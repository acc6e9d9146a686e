import type { ExecutionContext } from '../../core/execution/index.js'
import type { RecordBatch, Target } from '../contract/index.js'

/** Maximum number of names in the warning. */
const maxShown = 20

/** Finds the columns that a target writes, and that no record of a run had: a name with a typo would write nothing, without a word. */
export class UnmetColumns {
  readonly #unmet: Set<string>
  readonly #met = new Set<string>()

  constructor({ sourceColumns = [] }: Pick<Target, 'sourceColumns'>) {
    this.#unmet = new Set(sourceColumns)
  }

  /** Takes the columns of a batch into account. A target refuses rows of a database that lack a column. */
  add(batch: RecordBatch): void {
    if (this.#unmet.size === 0 || batch.isRaw) return
    for (const { name } of batch.columns) {
      this.#unmet.delete(name)
      if (this.#met.size <= maxShown) this.#met.add(name)
    }
  }

  /** Warns of the columns that no record had, if there were records. */
  warn({ warnOnce }: Pick<ExecutionContext, 'warnOnce'>): void {
    if (this.#unmet.size === 0 || this.#met.size === 0) return
    const [first] = this.#unmet
    const names = [...this.#met].slice(0, maxShown).join(', ')
    warnOnce(
      `No record of this run had ${listed([...this.#unmet])}, which \`target.columns\` names, so nothing was written there: the records had ${names}` +
        `${this.#met.size > maxShown ? ', …' : ''}. Correct \`columns.${first}\`, or remove it.`,
    )
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, maxShown).map((name) => `\`${name}\``)
  return `${names.length === 1 ? 'the column' : 'the columns'} ${shown.join(', ')}`
}
