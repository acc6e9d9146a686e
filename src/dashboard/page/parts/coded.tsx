/** A message whose names of options and commands, which stand in backticks, are set as code. */
export function Coded({ text }: { text: string }) {
  return (
    <>{text.split(/`([^`\n]+)`/).map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>
  )
}
