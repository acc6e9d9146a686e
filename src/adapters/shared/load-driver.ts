import { JobError, type JobErrorCode } from '../../adapter.js'

/** Loads an optional peer dependency. When it is missing, throws an error of this code that says what to install. */
export async function loadDriver<Driver>(
  code: JobErrorCode,
  name: string,
  load: () => Promise<Driver>,
): Promise<Driver> {
  try {
    return await load()
  } catch (cause) {
    throw new JobError(code, `Could not load the package \`${name}\`: run \`npm install ${name}\`.`, { cause })
  }
}
