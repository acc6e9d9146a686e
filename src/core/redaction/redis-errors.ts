import { endOf, matches, type Span } from './spans.js'

/** A server refuses a command that it does not know, such as a renamed `auth`, and repeats its arguments. */
const unknownCommand = /\bwith args beginning with:\s{0,4}(?=\S)/gi
/** Longer than the arguments that Redis repeats. */
const maxArguments = 400

/** A rule of a user with a password, or with the digest of one. */
const modifier = /\bACL SETUSER modifier ['"`](?=[<>#!])/gi
const modifierEnd = /['"`](?=[:\s]|$)|\n/g

/** The command of an error of ioredis, as `inspect` and JSON show it. A word between its name and its arguments is none. */
const command =
  /\bname["'`]?\s{0,4}:\s{0,4}["'`](?:auth|hello|acl|config|migrate)["'`]\s{0,8},\s{0,16}["'`]?args["'`]?\s{0,4}:\s{0,4}\[/gi
const argumentsEnd = /\](?=\s{0,16}[},\]]|$)/g

/** Passwords in the errors of Redis and its clients, which repeat the commands that failed. */
export function* redisSecrets(text: string): Generator<Span> {
  for (const { 0: found, index } of matches(text, unknownCommand)) {
    const start = index + found.length
    yield { start, end: Math.min(endOf(text, start, /\n|\\{1,8}n/g), start + maxArguments) }
  }
  for (const { 0: found, index } of matches(text, modifier)) {
    const start = index + found.length
    const end = endOf(text, start, modifierEnd)
    yield { start, end }
    modifier.lastIndex = end
  }
  for (const { 0: found, index } of matches(text, command)) {
    const start = index + found.length
    const end = endOf(text, start, argumentsEnd)
    yield { start, end }
    command.lastIndex = end
  }
}
