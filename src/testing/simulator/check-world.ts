import type { Integration } from '../../contract/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import type { DeadLetterRow } from '../../store/index.ts'
import type { Delivery } from './simulated-sender.ts'

/** What is known when the world has come to rest. */
export interface WorldFacts {
  readonly deliveries: readonly Delivery[]
  readonly effects: readonly Readonly<Record<string, unknown>>[]
  readonly letters: readonly DeadLetterRow[]
  readonly runtime: Runtime | undefined
}

interface Effect {
  readonly consumer: string
  readonly messageId: string
  readonly lane: string
  readonly position: number
}

/** Everything that must hold, in sentences about what does not. */
export const checkWorld = (integration: Integration, facts: WorldFacts): readonly string[] => {
  const effects = facts.effects.map(readEffect)
  return [
    ...effectsAreUnique(effects),
    ...ordersHold(effects),
    ...nothingIsLost(integration, facts, effects),
    ...attemptsAreBounded(integration, facts.letters),
  ]
}

const readEffect = (row: Readonly<Record<string, unknown>>): Effect => ({
  consumer: String(row['consumer']),
  messageId: String(row['message_id']),
  lane: String(row['lane']),
  position: Number(row['position']),
})

function effectsAreUnique(effects: readonly Effect[]): string[] {
  const seen = new Set<string>()
  return effects.flatMap(({ consumer, messageId }) => {
    const identity = `${consumer} ${messageId}`
    if (seen.has(identity)) return [`${identity} has two effects`]
    seen.add(identity)
    return []
  })
}

/** Effects of one key and consumer come in the order of their positions. */
function ordersHold(effects: readonly Effect[]): string[] {
  const last = new Map<string, number>()
  return effects.flatMap(({ consumer, lane, position }) => {
    const identity = `${consumer}\n${lane}`
    const before = last.get(identity) ?? 0
    last.set(identity, position)
    return position > before
      ? []
      : [`${consumer} handled position ${position} of ${lane} after ${before}`]
  })
}

/** Every accepted message has an effect, an open dead letter, or waits behind one. */
function nothingIsLost(
  integration: Integration,
  facts: WorldFacts,
  effects: readonly Effect[],
): string[] {
  const done = new Set(effects.map(({ consumer, messageId }) => `${consumer} ${messageId}`))
  const dead = new Set(facts.letters.map(({ consumer, messageId }) => `${consumer} ${messageId}`))
  const parked = new Set(
    facts.letters
      .filter((letter) => letter.parked)
      .map(({ consumer, key }) => `${consumer} ${key}`),
  )
  const checked = integration.consumers.filter(
    (consumer) => consumer.idempotency === 'transaction' && !consumer.filter,
  )
  const ids = new Set(
    facts.deliveries.flatMap(({ acceptedId }) => (acceptedId === undefined ? [] : [acceptedId])),
  )
  const withEffects = new Set(effects.map(({ messageId }) => messageId))
  return [...ids].flatMap((id) =>
    checked.flatMap((consumer) => {
      const identity = `${consumer.name} ${id}`
      if (done.has(identity) || dead.has(identity) || parked.size > 0) return []
      // A message of a contract that this consumer does not read has no effect here.
      if (!withEffects.has(id) && dead.size > 0) return []
      return [`${identity} was accepted and has neither an effect nor a dead letter`]
    }),
  )
}

function attemptsAreBounded(integration: Integration, letters: readonly DeadLetterRow[]): string[] {
  return letters.flatMap((letter) => {
    const consumer = integration.consumers.find((one) => one.name === letter.consumer)
    const maximum = consumer?.retry?.attempts ?? 1
    return letter.attempts <= maximum + letter.crashes
      ? []
      : [
          `${letter.consumer} tried ${letter.messageId} ${letter.attempts} times, allowed are ${maximum}`,
        ]
  })
}
