export {
  type AttributeForm,
  arrayForm,
  type BinaryForm,
  compositeForm,
  domainForm,
  enumForm,
  firstUnfixedId,
  rangeForm,
} from './binary-form.js'
export { builtInForms } from './built-in-forms.js'
export { changedFailure } from './changed-failure.js'
export { PostgresRows } from './encoded-rows.js'
export { fieldsOf, Portal, type PrepareValue, type RowFormat } from './portal.js'
export type { Field } from './request.js'
export { formatOf } from './row-format.js'
export { typeOids } from './type-oids.js'
