import { JuncturaError } from '../kernel/index.ts'

/** A mistake in a declaration: which field, what is wrong, what to write instead. */
export const declarationError = (field: string, problem: string, fix: string): JuncturaError =>
  new JuncturaError('JUNCTURA_DECLARATION', {
    details: { field, problem: `${problem}; ${fix}`, fix },
  })

const NAME = /^[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*$/

/** Names become metric labels, URL parts and rows: lower case words joined by `.` or `-`. */
export const checkName = (name: unknown, what: string): string => {
  if (typeof name === 'string' && name.length <= 100 && NAME.test(name)) return name
  throw declarationError(
    `${what} ${JSON.stringify(name)}`,
    'this is not a usable name',
    'use lower case letters and digits, joined by "." or "-", at most 100 characters',
  )
}
