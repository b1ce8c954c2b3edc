/** One line of `doctor`. */
export interface Check {
  readonly name: string
  readonly state: 'ok' | 'warn' | 'fail'
  readonly text: string
  /** What to do; where there is nothing to do, absent. */
  readonly fix?: string
}

export const ok = (name: string, text: string): Check => ({ name, state: 'ok', text })

export const warn = (name: string, text: string, fix: string): Check => ({
  name,
  state: 'warn',
  text,
  fix,
})

export const fail = (name: string, text: string, fix: string): Check => ({
  name,
  state: 'fail',
  text,
  fix,
})
