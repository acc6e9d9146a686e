/** The part of mysql2's packets that headgate uses: a message of the server, from `offset` up to `end` of `buffer`. */
export interface Packet {
  readonly buffer: Buffer
  readonly offset: number
  readonly end: number
  isEOF(): boolean
  eofStatusFlags(): number
}

/** The part of mysql2's answers to statements without rows that headgate uses. */
export interface OkPacket {
  readonly affectedRows: number
  readonly warningStatus?: number
}

/** A message to the server, behind four bytes that mysql2 fills in. */
export interface OwnPacket {
  readonly buffer: Buffer
  length(): number
  writeHeader(sequence: number): void
}

/** What a command of mysql2 does with the next packet. Null when the command is done. */
export type Step = (this: QueryCommand, packet: Packet, connection: MysqlConnection) => Step | null

/** The part of mysql2's `Query` that headgate uses and overrides. mysql2 calls each method with the packet of that kind. */
export interface QueryCommand {
  /** Called once with the error of the command, or with none when it is done. */
  onResult: ((error: Error | null) => void) | undefined
  /** Sends the command. */
  start(packet: Packet | undefined, connection: MysqlConnection): Step | null
  /** Receives the end of the data of a file that the server has asked for. */
  infileOk: Step
  resultsetHeader: Step
  /** Receives the definition of a column. */
  readField: Step
  fieldsEOF: Step
  /** Receives a row, or the end of the rows. */
  row: Step
  /** Receives the end of a statement without rows. */
  doneInsert(packet: OkPacket): Step | null
  done(): null
}

export type QueryClass = new (options: { readonly sql: string }) => QueryCommand

type Listener = (error: Error) => void

/** The part of mysql2's `PoolConnection` that headgate uses. */
export interface MysqlConnection {
  readonly config: Readonly<Record<string, unknown>>
  /** The capabilities that the server has. Earlier versions of mysql2 do not say. */
  readonly serverCapabilityFlags?: number
  writePacket(packet: OwnPacket): unknown
  readonly stream: {
    readonly writableNeedDrain?: boolean
    once?(event: 'drain' | 'close', listener: () => void): unknown
    off?(event: 'drain' | 'close', listener: () => void): unknown
    pause(): unknown
    resume(): unknown
    destroy(): unknown
    ref?(): unknown
    unref?(): unknown
  }
  addCommand(command: object): unknown
  prepare(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): unknown
  unprepare(sql: string): unknown
  release(): void
  destroy(): void
  on(event: 'error', listener: Listener): unknown
  off(event: 'error', listener: Listener): unknown
}

/** The part of mysql2's prepared statements that headgate uses. */
export interface PreparedStatement {
  readonly columns: readonly PreparedColumn[]
}

/** The part of mysql2's definitions of columns that headgate uses. */
export interface PreparedColumn {
  readonly schema: string
  readonly orgTable: string
  readonly orgName: string
  readonly flags: number
}

/** The class of mysql2's queries, of the copy of mysql2 that the connection belongs to. */
export function queryClassOf(connection: MysqlConnection): QueryClass {
  const { createQuery } = connection.constructor as unknown as {
    createQuery(options: object, values: undefined, callback: undefined, config: object): object
  }
  return createQuery({ sql: '' }, undefined, undefined, {}).constructor as QueryClass
}
