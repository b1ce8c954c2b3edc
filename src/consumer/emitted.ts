import type { EmittedMessage } from '../contract/index.ts'
import { messageOf } from '../kernel/index.ts'
import type { Append, UnitOutcome } from '../store/index.ts'
import type { ConsumerPorts } from './ports.ts'

/** What the handler holds; filled in when the commit has decided. */
export interface PendingEmit {
  id: string
  isDuplicate: boolean | undefined
}

/** Without a fact to compare there is nothing left to decide. */
export const pendingEmit = (append: Append): PendingEmit => ({
  id: idOf(append),
  isDuplicate: append.claim ? undefined : false,
})

/** What is told of a fact that this attempt has emitted already: it follows the first. */
export const twinOf = (first: PendingEmit): EmittedMessage => ({
  get id() {
    return first.id
  },
  isDuplicate: true,
})

export const findTwin = (appends: readonly Append[], { claim }: Append): number =>
  claim === undefined
    ? -1
    : appends.findIndex((one) => one.claim?.key === claim.key && one.claim.scope === claim.scope)

export interface CommittedEmits {
  readonly consumer: string
  /** The message whose handler emitted. */
  readonly messageId: string
  readonly appends: readonly Append[]
  readonly outcome: UnitOutcome
  /** What the handler holds of each append, where it can still read it. */
  readonly pending?: readonly PendingEmit[]
}

/**
 * After the commit: says which of the emits were left out because the log had their fact already,
 * to the handler and to whoever reads the log of the message. Never rejects: the effect is done.
 */
export const settleEmits = async (ports: ConsumerPorts, emits: CommittedEmits): Promise<void> => {
  const { consumer, messageId, appends, outcome, pending = [] } = emits
  if (outcome.status !== 'committed') return
  const leftOut = outcome.leftOut ?? []
  for (const [place, one] of pending.entries()) one.isDuplicate ??= leftOut.includes(place)
  for (const place of leftOut) {
    const append = appends[place]
    if (!append) continue
    const firstId = await firstIdAt(ports, outcome.positions[place] ?? 0)
    const held = pending[place]
    if (held) held.id = firstId
    const type = append.record?.head.envelope.type ?? ''
    const message = `emitted ${type} is not appended: ${firstId} told the same fact first`
    ports.observer.logged({ consumer, messageId, message, fields: { type, firstId } })
  }
}

async function firstIdAt(ports: ConsumerPorts, position: number): Promise<string> {
  try {
    return (await ports.messageIdAt(position)) ?? 'unknown'
  } catch (error) {
    const fields = { position, problem: messageOf(error) }
    ports.kernel.log.warn(fields, 'the message that told a fact first could not be read')
    return 'unknown'
  }
}

const idOf = (append: Append): string => append.record?.head.envelope.id ?? ''
