// Holds what the partner sent against what stands in the database.
import type { PartnerAnswer } from './partner.ts'
import type { Scenario } from './scenarios.ts'

export const CONSUMERS = ['warehouse', 'finance', 'notifications'] as const
export type ConsumerName = (typeof CONSUMERS)[number]

/** A row of `order_effects`. */
export interface Effect {
  readonly consumer: string
  readonly orderId: string
  readonly messageId: string
}

/** A message that has no effect yet and says why. */
export interface Held {
  readonly consumer: string
  readonly messageId: string
  readonly status: 'dead' | 'parked'
}

export interface Evidence {
  /** In the order in which the database numbered them. */
  readonly effects: readonly Effect[]
  readonly held: readonly Held[]
}

export interface Outcome {
  readonly scenario: Scenario
  /** One answer per request, queue by queue. */
  readonly answers: readonly (readonly PartnerAnswer[])[]
}

export interface Verdict {
  readonly title: string
  readonly sent: number
  readonly answers: Readonly<Record<number, number>>
  readonly effects: Readonly<Record<ConsumerName, number>>
  readonly held: readonly Held[]
  /** What did not hold, in words; empty when everything did. */
  readonly problems: readonly string[]
}

export const judge = (outcome: Outcome, evidence: Evidence): Verdict => {
  const { scenario } = outcome
  const orderIds = new Set(scenario.queues.flat().map((request) => request.body.orderId))
  const accepted = acceptedIds(outcome)
  const effects = evidence.effects.filter((effect) => orderIds.has(effect.orderId))
  const held = evidence.held.filter((one) => accepted.flat().includes(one.messageId))
  const answers = countAnswers(outcome)
  return {
    title: scenario.title,
    sent: scenario.queues.flat().length,
    answers,
    effects: {
      warehouse: countOf(effects, 'warehouse'),
      finance: countOf(effects, 'finance'),
      notifications: countOf(effects, 'notifications'),
    },
    held,
    problems: [
      ...judgeAnswers(scenario, answers),
      ...judgeEffects(accepted.flat(), effects, held),
      ...judgeOrder(accepted, effects),
      ...judgeHeld(scenario, held),
    ],
  }
}

/** Ids of the messages that were accepted, in the order of each queue. */
export const acceptedIds = ({ answers }: Outcome): readonly (readonly string[])[] =>
  answers.map((queue) => queue.filter(({ status }) => status === 202).map(({ says }) => says))

const countOf = (effects: readonly Effect[], consumer: ConsumerName): number =>
  effects.filter((effect) => effect.consumer === consumer).length

function countAnswers({ answers }: Outcome): Readonly<Record<number, number>> {
  const counts: Record<number, number> = {}
  for (const { status } of answers.flat()) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

function judgeAnswers(scenario: Scenario, answers: Readonly<Record<number, number>>): string[] {
  const statuses = new Set([...Object.keys(scenario.answers), ...Object.keys(answers)].map(Number))
  return [...statuses].flatMap((status) => {
    const wanted = scenario.answers[status] ?? 0
    const seen = answers[status] ?? 0
    return wanted === seen ? [] : [`${seen} answers of ${status}, expected ${wanted}`]
  })
}

/** Exactly one effect for each accepted message and consumer, and nothing of what was refused. */
function judgeEffects(
  accepted: readonly string[],
  effects: readonly Effect[],
  held: readonly Held[],
): string[] {
  const isHeld = new Set(held.map((one) => `${one.consumer} ${one.messageId}`))
  const counts = new Map<string, number>()
  for (const { consumer, messageId } of effects) {
    const pair = `${consumer} ${messageId}`
    counts.set(pair, (counts.get(pair) ?? 0) + 1)
  }
  const problems = accepted.flatMap((messageId) =>
    CONSUMERS.flatMap((consumer) => {
      const pair = `${consumer} ${messageId}`
      const wanted = isHeld.has(pair) ? 0 : 1
      const seen = counts.get(pair) ?? 0
      return seen === wanted ? [] : [`${pair}: ${seen} effects, expected ${wanted}`]
    }),
  )
  const strangers = effects.filter(({ messageId }) => !accepted.includes(messageId))
  return [...problems, ...strangers.map((one) => `${one.consumer} has an effect of a refused one`)]
}

/** What was sent in order for one key has its effects in that order, for every consumer. */
function judgeOrder(
  accepted: readonly (readonly string[])[],
  effects: readonly Effect[],
): readonly string[] {
  const rankOf = new Map(
    accepted.flatMap((queue, at) => queue.map((id, rank) => [id, { at, rank }] as const)),
  )
  const last = new Map<string, number>()
  return effects.flatMap(({ consumer, orderId, messageId }) => {
    const place = rankOf.get(messageId)
    if (!place) return []
    const lane = `${consumer} ${orderId} ${place.at}`
    const isLate = place.rank < (last.get(lane) ?? -1)
    last.set(lane, place.rank)
    return isLate ? [`${consumer} saw ${orderId} out of order`] : []
  })
}

function judgeHeld(scenario: Scenario, held: readonly Held[]): string[] {
  const check = (status: Held['status'], wanted: number): string[] => {
    const seen = held.filter((one) => one.status === status).length
    return seen === wanted ? [] : [`${seen} messages are ${status}, expected ${wanted}`]
  }
  return [...check('dead', scenario.dead ?? 0), ...check('parked', scenario.waiting ?? 0)]
}
