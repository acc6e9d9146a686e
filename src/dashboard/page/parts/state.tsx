import { type ShownState, stateWords } from '../data/detail.js'
import { Icon, type IconName } from './icon.js'

/** The state of an execution: a shape, a word and a colour that say the same. */
export function State({ state, isBadge = false }: { state: ShownState; isBadge?: boolean }) {
  return (
    <span class={`state is-${state} ${isBadge ? 'badge' : ''}`}>
      <Icon name={state} />
      {stateWords[state]}
    </span>
  )
}

/** Something that is not a state of an execution, in the same form. */
export function Mark({ icon, tone, text }: { icon: IconName; tone: string; text: string }) {
  return (
    <span class={`state is-${tone}`}>
      <Icon name={icon} />
      {text}
    </span>
  )
}
