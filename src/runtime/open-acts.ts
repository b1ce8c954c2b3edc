import type { ConsumerRunner } from '../consumer/index.ts'
import type { Inbox } from '../inbox/index.ts'
import { createDeadLetters, type DeadLetters } from './dead-letters.ts'
import type { LetterBook } from './open-letters.ts'
import type { Alerting, Foundations } from './pipeline.ts'
import { createReplays, type Replays } from './replays.ts'
import { createRequests, type Requests } from './requests.ts'

/** Told by the consumers what becomes of their messages; filled once both sides are there. */
export interface People {
  deadLetters?: DeadLetters
  replays?: Replays
}

export interface ActParts {
  readonly people: People
  readonly inbox: Inbox
  readonly letters: LetterBook
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  readonly duties: { readonly areHere: boolean }
}

/** What people do about messages that gave up, wherever their consumers run. */
export const openActs = (
  base: Foundations,
  alerting: Alerting,
  { people, inbox, letters, runners, duties }: ActParts,
): {
  readonly requests: Requests
  readonly deadLetters: DeadLetters
  readonly replays: Replays
} => {
  const requests = createRequests({
    ...base,
    runners,
    perform: async ({ command, ids, actor }) =>
      (await people.deadLetters?.perform(command, ids, actor)) ?? 0,
  })
  const deadLetters = createDeadLetters({
    ...base,
    ...alerting,
    runners,
    requests,
    retryTransform: async (letter) => {
      const result = await inbox.retryTransform(letter.id, 'operator')
      if (result.kind === 'done') letters.add(letter, -1)
      return { ok: result.kind === 'done' }
    },
    onDropped: (letter) => {
      letters.add(letter, -1)
      people.replays?.dropped(letter.consumer, letter.position)
    },
  })
  const replays = createReplays({ ...base, runners, deadLetters, requests, duties })
  people.deadLetters = deadLetters
  people.replays = replays
  return { requests, deadLetters, replays }
}
