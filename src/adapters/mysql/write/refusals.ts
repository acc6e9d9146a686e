/** The number of an error of the server. */
function numberOf(error: unknown): unknown {
  return (Object(error) as { errno?: unknown }).errno
}

/**
 * Numbers of errors that no record causes: a lack of rights, a table or a column that is missing, a full disk or table, a damaged table, a
 * server that is read-only, a statement that was stopped, a trigger that uses what is missing.
 */
const general: ReadonlySet<unknown> = new Set([
  ...[1044, 1045, 1142, 1143, 1227, 1370, 1410, 1449],
  ...[1046, 1049, 1051, 1054, 1064, 1091, 1100, 1109, 1146, 1305, 1356, 1360, 1412, 1932],
  ...[1021, 1025, 1026, 1030, 1034, 1035, 1037, 1038, 1041, 1114, 1206, 1297, 1712],
  ...[1036, 1290, 1792, 1836, 1874],
  ...[1317, 1028, 1877, 1969, 3024],
])

/** Whether an error of the server would refuse every record. */
export function isGeneral(error: unknown): boolean {
  return general.has(numberOf(error))
}

/** Whether a lock was not granted in time, or a deadlock was resolved. */
export function isLockFailure(error: unknown): boolean {
  const number = numberOf(error)
  return number === 1205 || number === 1213 || number === 3572 || number === 1020
}

/** Whether the server may have rolled the whole transaction back, not the statement alone. */
export function lostTransaction(error: unknown): boolean {
  return isLockFailure(error) || isGeneral(error)
}
