import type { ContractPart } from './model-parts.ts'
import type { Paint } from './paint.ts'
import type { ReadyReport } from './serve-integration.ts'
import { escapeControl } from '../security/index.ts'
import { formatClock } from './human-time.ts'

/** What `dev` shows once the integration takes messages. */
export const renderReady = (ready: ReadyReport, paint: Paint): string => {
  const webhooks = ready.webhooks.map(
    ({ name, url }) => `  ${paint('green', 'POST')} ${url}  ${paint('gray', name)}`,
  )
  return [
    '',
    `${paint('bold', ready.name)} runs on ${ready.store.engine}`,
    ...webhooks,
    `  ${paint('cyan', 'page')} ${ready.managementUrl}`,
    `  ${paint('gray', `consumers: ${ready.consumers.join(', ') || 'none'}`)}`,
  ].join('\n')
}

const DEV_KEYS = 'o URLs  s send  e emit  l dead letters  r restart  q quit'

export const renderKeys = (paint: Paint): string => paint('gray', DEV_KEYS)

const LEVEL_COLOURS = { warn: 'yellow', error: 'red', info: 'gray', debug: 'gray' } as const

/** One line of the child's log for people; a line that is no JSON came from a handler. */
export const renderLog = (line: string, paint: Paint): string => {
  const entry = readEntry(line)
  if (!entry) return escapeControl(line)
  const { at, level, message, ...fields } = entry
  const colour = LEVEL_COLOURS[isLevel(level) ? level : 'info']
  const pairs = Object.entries(fields).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `${paint('gray', `${name}=`)}${escapeControl(text ?? '')}`
  })
  const time = paint('gray', formatClock(Date.parse(at)))
  return [time, paint(colour, level.padEnd(11)), escapeControl(message), ...pairs].join(' ')
}

interface Entry {
  readonly at: string
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

const isLevel = (level: string): level is keyof typeof LEVEL_COLOURS =>
  Object.hasOwn(LEVEL_COLOURS, level)

function readEntry(line: string): Entry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const entry: Entry = JSON.parse(line)
    const isOurs = typeof entry.at === 'string' && typeof entry.level === 'string'
    return isOurs && typeof entry.message === 'string' && !Number.isNaN(Date.parse(entry.at))
      ? entry
      : undefined
  } catch {
    // Something that only looks like JSON.
    return undefined
  }
}

/** The contract that `e` emits: an event that somebody consumes, else any. */
export const pickEvent = (
  contracts: readonly ContractPart[],
  consumed: ReadonlySet<string>,
): ContractPart | undefined =>
  contracts.find(({ kind, name }) => kind === 'event' && consumed.has(name)) ??
  contracts.find(({ kind }) => kind === 'event')
