/** One place that breaks a house rule. `line` is 0 when the finding is about the whole file. */
export interface Finding {
  readonly path: string
  readonly line: number
  readonly rule: RuleName
  readonly message: string
}

/** Every rule has a test that plants a violation; `tidy.test.ts` fails when one has none. */
export const RULES = [
  'any-as-bang-budget',
  'bare-error',
  'changelog-shape',
  'console',
  'default-export',
  'door',
  'door-shape',
  'file-length',
  'file-name',
  'forbidden-words',
  'function-length',
  'import-cycle',
  'line-length',
  'markdown-link',
  'mock',
  'name-word',
  'nesting',
  'optional-peer',
  'parameters',
  'parse',
  'real-world',
  'room-table',
  'skipped-test',
  'todo-number',
  'vendor-place',
] as const

export type RuleName = (typeof RULES)[number]
