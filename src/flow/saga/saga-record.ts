import {
  type AnyContract,
  type AnySaga,
  callerLocation,
  sagaChannel,
} from '../../contract/index.ts'
import { assert } from '../../kernel/index.ts'
import type { SagaAnswer } from '../../store/index.ts'

/**
 * Everything that happens to a run is one of these, in the saga's own channel under the run's key:
 * so its order is that of the log, and the lane of the key gives one at a time.
 */
export type SagaRecord = { readonly key: string } & (
  | {
      readonly kind: 'start'
      readonly id: string
      readonly type: string
      readonly data: unknown
      readonly correlationId: string
      readonly parent?: string
      /** An event of this type came after the end of the run that is named. */
      readonly late?: string
    }
  | {
      readonly kind: 'event'
      readonly id: string
      readonly type: string
      readonly data: unknown
      readonly time: string
    }
  | ({
      readonly kind: 'answer'
      readonly step: string
      /** The id of the run that asked: its key may have started again since. */
      readonly run?: string
    } & SagaAnswer)
  | { readonly kind: 'timer'; readonly timer: string }
  | SagaOperateRecord
)

export type SagaAct =
  | 'cancel'
  | 'terminate'
  | 'pause'
  | 'resume'
  | 'retry-step'
  | 'skip-step'
  | 'edit-step'

export interface SagaOperateRecord {
  readonly kind: 'operate'
  readonly act: SagaAct
  readonly id: string
  readonly actor: string
  readonly reason: string
  readonly step?: string
  /** Of `skip-step` what it gives, of `edit-step` what it is asked with. */
  readonly value?: unknown
}

/** A record as it was read from the log: we wrote it, and its checksum held. */
export const readSagaRecord = (data: unknown): SagaRecord => {
  assert(isSagaRecord(data), 'a record of a saga has a kind and a key')
  return data
}

const isSagaRecord = (data: unknown): data is SagaRecord =>
  typeof data === 'object' && data !== null && 'kind' in data && 'key' in data

const contracts = new Map<string, AnyContract>()

/** The contract of a saga's own channel. */
export const sagaContract = (saga: string): AnyContract => {
  const known = contracts.get(saga)
  if (known) return known
  const name = sagaChannel(saga)
  const contract: AnyContract = {
    part: 'contract',
    kind: 'event',
    name,
    channel: name,
    key: ['key'],
    versions: new Map([[1, { type: 'object' }]]),
    latest: 1,
    asked: 1,
    upcast: new Map(),
    deprecated: new Map(),
    compatibility: 'none',
    retentionMs: 86_400_000,
    guarantee: 'at-least-once',
    pii: [],
    codec: 'json',
    at: callerLocation(),
  }
  contracts.set(saga, contract)
  return contract
}

/** The same with everything masked that is personal in what the saga is given. */
export const maskedSagaContract = (saga: AnySaga): AnyContract => {
  const used = [saga.on, ...saga.uses.filter((one) => one.part === 'contract')]
  const pii = new Set(used.flatMap((one) => one.pii.map((path) => `data.${path}`)))
  return { ...sagaContract(saga.name), owner: saga.owner, pii: [...pii] }
}

export interface ReplyTo {
  readonly saga: string
  readonly key: string
  readonly step: string
  readonly run?: string
}

/** As it travels with a command. */
export const replyToText = ({ saga, key, step, run }: ReplyTo): string =>
  [saga, key, step, ...(run === undefined ? [] : [run])].map(encodeURIComponent).join('/')

export const readReplyTo = (text: string): ReplyTo | undefined => {
  const [saga, key, step, run] = text.split('/').map(decodeURIComponent)
  if (!saga || key === undefined || !step) return undefined
  return { saga, key, step, ...(run !== undefined && { run }) }
}
