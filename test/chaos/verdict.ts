// What the partner knows, held against what stands in the database file and the management API.
import { setTimeout as delay } from 'node:timers/promises'
import type { DeadLetterRow, MessagePage, MessageView, Page } from 'junctura'
import { type Effect, type EffectsPlace, type EffectsTable, openEffects } from './effects-table.ts'
import type { Partner, SentMessage } from './partner.ts'
import type { RuntimeProcess } from './runtime-process.ts'

export const CONSUMERS = ['warehouse', 'finance', 'notifications'] as const

export interface Verdict {
  readonly acknowledged: number
  readonly effects: number
  /** Acknowledged messages that a consumer neither handled nor holds with a reason. */
  readonly lost: readonly string[]
  /** Effects that are there more than once, for one message or for one fact. */
  readonly doubled: readonly string[]
  /** Effects of messages that nobody sent. */
  readonly foreign: readonly string[]
  readonly outOfOrder: readonly string[]
  readonly deadLetters: number
  /** Messages that wait behind a dead letter of their key. */
  readonly parked: number
  /** Dead letters that should not be there. */
  readonly innocentDead: readonly string[]
  /** `order_updates` against the rows of `warehouse`, which emits one update with each. */
  readonly updatesMissing: number
}

export type JudgeOptions = EffectsPlace & {
  readonly partner: Partner
  readonly runtime: RuntimeProcess
  /** @default 60_000 */
  readonly settleMsMax?: number
}

/** Waits until every acknowledged message is done or held, then looks at everything. */
export const judge = async (options: JudgeOptions): Promise<Verdict> => {
  const { partner, runtime, settleMsMax = 60_000 } = options
  const db = await openEffects(options)
  try {
    const acked = partner.messages.filter(({ messageId }) => messageId !== undefined)
    const deadlineMs = performance.now() + settleMsMax
    let settled = await settle(runtime, db, acked)
    while (settled.lost.length > 0 && performance.now() < deadlineMs) {
      await delay(250)
      settled = await settle(runtime, db, acked)
    }
    const positions = await readPositions(runtime)
    const letters = await readDeadLetters(runtime)
    const orderOf = new Map(acked.map((one) => [one.messageId, one.orderId]))
    await waitForUpdates(db, deadlineMs)
    const effects = await db.read()
    return {
      acknowledged: acked.length,
      effects: effects.length,
      lost: settled.lost,
      doubled: findDoubled(effects),
      foreign: findForeign(effects, partner.messages),
      outOfOrder: [...findUnordered(effects, positions), ...findOvertaken(acked, positions)],
      deadLetters: letters.length,
      parked: settled.parked,
      innocentDead: letters
        .filter(({ consumer, messageId }) => {
          const order = orderOf.get(messageId)
          // The order of a message that was given up is unknown; its consumer still tells.
          return consumer !== 'finance' || order?.startsWith('POISON-') === false
        })
        .map(({ consumer, messageId, errorMessage }) => `${consumer} ${messageId} ${errorMessage}`),
      updatesMissing: await db.countUpdatesMissing(),
    }
  } finally {
    await db.close()
  }
}

interface Settled {
  readonly lost: readonly string[]
  readonly parked: number
}

async function settle(
  runtime: RuntimeProcess,
  db: EffectsTable,
  acked: readonly SentMessage[],
): Promise<Settled> {
  const done = new Set((await db.read()).map((one) => `${one.consumer} ${one.messageId}`))
  const lost: string[] = []
  const asked: string[] = []
  for (const { messageId = '', orderId } of acked) {
    for (const consumer of CONSUMERS) {
      if (done.has(`${consumer} ${messageId}`)) continue
      // Only these may be held; the reason is asked for once nothing else is missing.
      if (consumer === 'finance' && orderId.startsWith('POISON-')) asked.push(messageId)
      else lost.push(`${consumer} ${messageId}`)
    }
  }
  if (lost.length > 0) return { lost, parked: 0 }
  let parked = 0
  for (const messageId of asked) {
    const view = await runtime.get<MessageView>(`/api/v1/messages/${messageId}`)
    const status = view.consumers.find(({ consumer }) => consumer === 'finance')?.status
    if (status === 'parked') parked++
    else if (status !== 'dead') lost.push(`finance ${messageId}, which is ${status}`)
  }
  return { lost, parked }
}

function findDoubled(effects: readonly Effect[]): readonly string[] {
  const seen = new Set<string>()
  const doubled: string[] = []
  for (const { consumer, orderId, status, messageId } of effects) {
    const fact = `${consumer} ${orderId} ${status}`
    const work = `${consumer} ${messageId}`
    if (seen.has(fact) || seen.has(work)) doubled.push(`${work} ${fact}`)
    seen.add(fact).add(work)
  }
  return doubled
}

function findForeign(effects: readonly Effect[], sent: readonly SentMessage[]): readonly string[] {
  const messageOfFact = new Map(sent.map((one) => [`${one.orderId} ${one.status}`, one]))
  return effects
    .filter(({ orderId, status, messageId }) => {
      const message = messageOfFact.get(`${orderId} ${status}`)
      if (!message) return true
      return message.messageId === undefined ? !message.gaveUp : message.messageId !== messageId
    })
    .map(({ consumer, messageId }) => `${consumer} ${messageId}`)
}

/** Per key and consumer, effects stand in the order of positions. */
function findUnordered(
  effects: readonly Effect[],
  positions: ReadonlyMap<string, number>,
): readonly string[] {
  const last = new Map<string, number>()
  const found: string[] = []
  for (const { consumer, orderId, messageId } of effects) {
    const lane = `${consumer} ${orderId}`
    const position = positions.get(messageId)
    if (position === undefined) found.push(`${lane}: ${messageId} has no position`)
    else {
      if (position < (last.get(lane) ?? 0)) found.push(`${lane}: ${messageId} at ${position}`)
      last.set(lane, position)
    }
  }
  return found
}

/** A message that was sent after another of its key had its answer stands behind it. */
function findOvertaken(
  acked: readonly SentMessage[],
  positions: ReadonlyMap<string, number>,
): readonly string[] {
  const byKey = Map.groupBy(acked, ({ orderId }) => orderId)
  const found: string[] = []
  for (const [key, messages] of byKey) {
    for (const first of messages) {
      for (const second of messages) {
        if ((second.firstSentMs ?? 0) <= (first.ackedMs ?? Infinity)) continue
        const before = positions.get(first.messageId ?? '') ?? 0
        const after = positions.get(second.messageId ?? '') ?? 0
        if (after <= before) found.push(`${key}: ${second.webhookId} overtook ${first.webhookId}`)
      }
    }
  }
  return found
}

/** Positions of all messages, by id, from the management API. */
async function readPositions(runtime: RuntimeProcess): Promise<ReadonlyMap<string, number>> {
  const positions = new Map<string, number>()
  for (let after: string | undefined = ''; after !== undefined;) {
    const from: string = after === '' ? '' : `&after=${after}`
    const page: MessagePage = await runtime.get<MessagePage>(
      `/api/v1/messages?type=orders.status-changed&limit=500${from}`,
    )
    for (const { id, position } of page.items) positions.set(id, position)
    after = page.next
  }
  return positions
}

async function readDeadLetters(runtime: RuntimeProcess): Promise<readonly DeadLetterRow[]> {
  const letters: DeadLetterRow[] = []
  for (let after: string | undefined = ''; after !== undefined;) {
    const from: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`
    const page: Page<DeadLetterRow> = await runtime.get<Page<DeadLetterRow>>(
      `/api/v1/dead-letters?limit=500${from}`,
    )
    letters.push(...page.items)
    after = page.next
  }
  return letters
}

async function waitForUpdates(db: EffectsTable, deadlineMs: number): Promise<void> {
  while ((await db.countUpdatesMissing()) > 0 && performance.now() < deadlineMs) await delay(100)
}
