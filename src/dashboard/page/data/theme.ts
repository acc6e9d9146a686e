import { signal } from '@preact/signals'

/** How the page is drawn. `auto` is as the device is set. */
export type Theme = 'auto' | 'light' | 'dark'

const themes: readonly Theme[] = ['auto', 'light', 'dark']
const key = 'headgate-theme'

/** The theme that the user has chosen. */
export const theme = signal<Theme>(storedTheme())

/** Takes the next theme. */
export function nextTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? 'auto'
  applyTheme()
  withStorage((storage) => storage.setItem(key, theme.value))
}

/** Draws the page in its theme. */
export function applyTheme(): void {
  document.documentElement.style.colorScheme = theme.value === 'auto' ? 'light dark' : theme.value
}

function storedTheme(): Theme {
  const stored = withStorage((storage) => storage.getItem(key))
  return themes.find((name) => name === stored) ?? 'auto'
}

/** A browser may forbid its storage to a page. The theme then holds until the page is closed. */
function withStorage<Value>(use: (storage: Storage) => Value): Value | undefined {
  try {
    return use(localStorage)
  } catch {
    return undefined
  }
}
