/** A busy machine takes longer than the second that `vi.waitFor` waits unless told. */
import { vi } from 'vitest'

const { waitFor } = vi

vi.waitFor = (work, options) => waitFor(work, typeof options === 'number' ? options : { timeout: 15_000, ...options })
