import { checkOptions, type Rule, rule } from '../../adapter.js'

/** What a fault throws may be anything. */
const anything: Rule = { accepts: () => true, expected: 'anything', optional: true }

/** The rules of the faults that a target and a datasource have in common. */
export const faultRules = {
  error: anything,
  once: rule.optional(rule.flag),
  delay: rule.optional(rule.milliseconds(0)),
  clock: rule.optional(rule.aClock),
}

/**
 * Returns a fake whose faults are checked, now and whenever they are set. Throws `invalid_options` for a name that is unknown and for a
 * value that is not valid.
 */
export function withCheckedFaults<Fake extends { faults: object }>(
  fake: Fake,
  rules: Record<keyof Fake['faults'], Rule>,
): Fake {
  let faults: object
  const set = (later: object) => {
    checkOptions('faults', later, rules)
    faults = later
  }
  set(fake.faults)
  return Object.defineProperty(fake, 'faults', { enumerable: true, get: () => faults, set })
}
