import { createHash } from 'node:crypto'
import type { SagaEntryRow, SagaRunRow } from '../../store/index.ts'

type Changing<T> = { -readonly [Name in keyof T]: T[Name] }

export type SagaEntry = Changing<SagaEntryRow>

/** A run while it is worked on. */
export type SagaRun = Changing<Omit<SagaRunRow, 'entries' | 'inbox' | 'timers' | 'operations'>> & {
  entries: SagaEntry[]
  inbox: SagaRunRow['inbox'][number][]
  timers: string[]
  operations: SagaRunRow['operations'][number][]
}

export const runKey = (saga: string, key: string): string => `${saga}\n${key}`

/** Names one run for ever, also when its key starts again after it was forgotten. */
export const runIdOf = (saga: string, key: string, startId: string): string =>
  `run_${createHash('sha256').update(`${saga}\n${key}\n${startId}`).digest('hex').slice(0, 32)}`

/** A row as something to work on. */
export const openRun = (row: SagaRunRow): SagaRun => ({
  ...row,
  entries: row.entries.map((entry) => ({ ...entry })),
  inbox: [...row.inbox],
  timers: [...row.timers],
  operations: [...row.operations],
})

/** As it is written: what is changed afterwards does not change what was given to a commit. */
export const rowOf = (run: SagaRun): SagaRunRow => openRun(run)

export const isEnded = ({ endedAtMs }: Pick<SagaRunRow, 'endedAtMs'>): boolean =>
  endedAtMs !== undefined

export const findEntry = (run: SagaRun, step: string): SagaEntry | undefined =>
  run.entries.find((entry) => entry.step === step)

/** No result will come for it any more. */
export const isOver = ({ state }: SagaEntryRow): boolean =>
  state === 'done' || state === 'declined' || state === 'dropped' || state === 'skipped'

export const undoOf = (step: string): string => `undo:${step}`

export const isUndo = ({ step }: SagaEntryRow): boolean => step.startsWith('undo:')

export const hasPivoted = (run: SagaRun): boolean =>
  run.entries.some(({ kind }) => kind === 'pivot')

/** What is in the journal must not change with what a function does to it. */
export const copyOf = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  const copy: Record<string, unknown> = { ...value }
  for (const name of Object.keys(copy)) copy[name] = copyOf(copy[name])
  return copy
}

/** As the journal will give it: what JSON cannot say is gone, before anybody has seen it. */
export const asJson = (value: unknown): unknown => {
  const text = JSON.stringify(value)
  return text === undefined ? undefined : JSON.parse(text)
}
