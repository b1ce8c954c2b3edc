import type { Integration } from '../../contract/index.ts'
import type { DeadLetterRow } from '../../store/index.ts'
import type { Delivery } from './simulated-sender.ts'

/** What is known when the world has come to rest. */
export interface WorldFacts {
  readonly deliveries: readonly Delivery[]
  readonly effects: readonly Readonly<Record<string, unknown>>[]
  readonly letters: readonly DeadLetterRow[]
  /** Every message in the log. */
  readonly log: readonly { readonly id: string; readonly type: string; readonly key: string }[]
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
    ...acceptedIsKept(facts),
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

/**
 * Every accepted message has, for each consumer of the contract it became, an effect, an open dead
 * letter, or a place behind one of its own key.
 */
function nothingIsLost(
  integration: Integration,
  facts: WorldFacts,
  effects: readonly Effect[],
): string[] {
  const done = new Set(effects.map(({ consumer, messageId }) => `${consumer} ${messageId}`))
  const dead = new Set(facts.letters.map(({ consumer, messageId }) => `${consumer} ${messageId}`))
  const parked = new Set(
    facts.letters.filter((one) => one.parked).map(({ consumer, key }) => `${consumer} ${key}`),
  )
  const checked = integration.consumers.filter(
    (consumer) => consumer.idempotency === 'transaction' && !consumer.filter,
  )
  const accepted = new Set(facts.deliveries.map(({ acceptedId }) => acceptedId))
  return facts.log
    .filter(({ id }) => accepted.has(id))
    .flatMap(({ id, type, key }) =>
      checked
        .filter((consumer) => consumer.on.name === type)
        .filter(({ name }) => !done.has(`${name} ${id}`) && !dead.has(`${name} ${id}`))
        .filter(({ name }) => !parked.has(`${name} ${key}`))
        .map(
          ({ name }) => `${name} ${id} was accepted and has neither an effect nor a dead letter`,
        ),
    )
}

/** An id that a partner was given is in the log. */
function acceptedIsKept(facts: WorldFacts): string[] {
  const kept = new Set(facts.log.map(({ id }) => id))
  return facts.deliveries.flatMap(({ acceptedId }) =>
    acceptedId === undefined || kept.has(acceptedId)
      ? []
      : [`${acceptedId} was accepted and is not in the log`],
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
