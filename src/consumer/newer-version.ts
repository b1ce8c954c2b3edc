import { isJuncturaError } from '../kernel/index.ts'
import type { ConsumerRunner } from './consumer-runner.ts'
import type { WorkItem } from './work-item.ts'

/** What an alert about messages that wait for newer code is about. */
export interface NewerVersion {
  readonly consumer: string
  readonly type: string
  readonly version: number
}

const PREFIX = 'newer-version'

export const newerVersionCause = ({ consumer, type, version }: NewerVersion): string =>
  [PREFIX, consumer, type, version].join('/')

/** What a cause says; undefined for causes of other alerts. */
export const readNewerVersionCause = (cause: string): NewerVersion | undefined => {
  const [prefix, consumer, type, version] = cause.split('/')
  if (prefix !== PREFIX || consumer === undefined || type === undefined) return undefined
  return { consumer, type, version: Number(version) }
}

/** Whether only code that is newer than this can read the item. */
export const isNewer = ({ ports, consumer }: ConsumerRunner, { record }: WorkItem): boolean => {
  // What is known needs no look at the data.
  if (record.head.envelope.contractversion <= consumer.on.latest) return false
  try {
    ports.readData(consumer, record.head.envelope, record.data)
    return false
  } catch (error) {
    return isNewerError(error)
  }
}

export const isNewerError = (error: unknown): boolean =>
  isJuncturaError(error, 'JUNCTURA_VERSION_NEWER')
