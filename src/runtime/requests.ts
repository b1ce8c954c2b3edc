import {
  type ConsumerRunner,
  holdsSlots,
  laneOfLetter,
  partitionId,
  slotOfLaneOf,
} from '../consumer/index.ts'
import type { Integration } from '../contract/index.ts'
import { isJuncturaError, JuncturaError, type Kernel, LIMITS, sleep } from '../kernel/index.ts'
import type { Committer, DeadLetterRow, RequestRow, Store } from '../store/index.ts'
import { viewLeases } from './lease-names.ts'
import { rangesOf } from './prepare-progress.ts'

/**
 * What a person asks of any process, and only the worker of a partition can do: a row that this
 * worker finds, does and answers. No network between the processes is needed.
 */
export interface Requests {
  /** The partition that a dead letter of a handler belongs to, where it is declared. */
  partitionOf(letter: DeadLetterRow): string | undefined
  /**
   * How many of `ids` it was done for.
   *
   * @throws JUNCTURA_ROLE_ELSEWHERE when no answer comes in time, naming who has the partition.
   * @throws JUNCTURA_OPERATION_REFUSED when it was done for none of them.
   */
  ask(request: Asked): Promise<number>
  /** Tells every worker to look at what was asked for, or paused, or changed. */
  ring(): Promise<void>
  /** Does what is asked of the partitions that are here. */
  answer(): Promise<void>
}

export type Asked = Pick<RequestRow, 'partition' | 'command' | 'ids' | 'actor'>

export interface RequestsOptions {
  readonly store: Store
  readonly committer: Committer
  readonly kernel: Kernel
  readonly integration: Integration
  readonly runners: ReadonlyMap<string, ConsumerRunner>
  /** Does it here, and says for how many. */
  readonly perform: (request: RequestRow) => Promise<number>
}

const BELL = 'bell'
/** An answer is looked for this often. */
const ANSWER_POLL_MS = 50

/** Another one than before when something was asked for. */
export const readBell = async (store: Store): Promise<unknown> =>
  (await store.row('meta', BELL))?.value

export const createRequests = (options: RequestsOptions): Requests => {
  const { store, committer, kernel, integration, runners } = options

  const ring = async (): Promise<void> => {
    if (!store.leases) return
    const row = { value: kernel.ids.next('token') }
    await committer.submit({ rows: [{ collection: 'meta', key: BELL, row }], isInternal: true })
  }

  const forget = (key: string): Promise<unknown> =>
    committer.submit({ rows: [{ collection: 'requests', key, row: undefined }], isInternal: true })

  const answered = async (key: string): Promise<RequestRow | undefined> => {
    const until = kernel.clock.monotonicMs() + LIMITS.requestWaitMs
    while (kernel.clock.monotonicMs() < until) {
      const row = await store.row('requests', key)
      if (row?.state === 'answered') return row
      await sleep(kernel.clock, ANSWER_POLL_MS)
    }
    return undefined
  }

  const answerOne = async (key: string, row: RequestRow): Promise<void> => {
    let done = 0
    let problem: RequestRow['problem']
    try {
      done = await options.perform(row)
    } catch (error) {
      if (!isJuncturaError(error) || error.retryable) throw error
      const { problem: text = error.message, fix = error.advice } = error.details
      problem = { problem: String(text), fix: String(fix) }
    }
    const answer: RequestRow = { ...row, state: 'answered', done, ...(problem && { problem }) }
    // Whoever asked and does not wait any more has taken it away.
    await committer.submit({
      guards: [{ collection: 'requests', key, is: 'present' }],
      rows: [{ collection: 'requests', key, row: answer }],
      isInternal: true,
    })
  }

  return {
    ring,
    partitionOf(letter) {
      const consumer = integration.consumers.find(({ name }) => name === letter.consumer)
      if (!consumer || letter.stage !== 'handler') return undefined
      const slot = slotOfLaneOf(consumer, laneOfLetter(consumer, letter))
      const ranges = rangesOf(store, consumer)
      const slots = ranges.find((range) => holdsSlots(range, { first: slot, last: slot }))
      return slots && partitionId(consumer.name, slots)
    },
    async ask(asked) {
      const key = kernel.ids.next('op')
      const row: RequestRow = { ...asked, atMs: kernel.clock.now(), state: 'asked' }
      await committer.submit({ rows: [{ collection: 'requests', key, row }], isInternal: true })
      await ring()
      const answer = await answered(key)
      await forget(key)
      if (!answer) throw await elsewhere(options, asked)
      const { done = 0, problem } = answer
      if (done === 0 && problem) {
        throw new JuncturaError('JUNCTURA_OPERATION_REFUSED', { details: problem })
      }
      return done
    },
    async answer() {
      const before = kernel.clock.now() - 10 * LIMITS.requestWaitMs
      for (const state of ['asked', 'answered'] as const) {
        const limit = LIMITS.pageRowsMax
        const where = [state]
        const page = await store.scan({ collection: 'requests', index: 'byState', where, limit })
        for (const { key, row } of page) {
          // Whoever asked has died.
          if (row.atMs < before) await forget(key)
          else if (state === 'asked' && runners.has(row.partition)) await answerOne(key, row)
        }
      }
    },
  }
}

/** No worker has answered: says who has the partition, if anybody has. */
async function elsewhere(
  { store }: RequestsOptions,
  { partition, command }: Asked,
): Promise<JuncturaError> {
  const view = store.leases && (await viewLeases(store.leases, { partitions: [partition] }))
  const owner = view?.partitions.get(partition)?.owner
  const url = owner === undefined ? undefined : view?.workers.get(owner)?.url
  const at = url === undefined ? '' : ` at ${url}`
  const where =
    owner === undefined
      ? `No process runs ${partition} at the moment`
      : `${owner}${at} runs ${partition} and did not answer within ${LIMITS.requestWaitMs / 1_000} s`
  const fix = url === undefined ? undefined : `Use --management-url ${url}`
  return new JuncturaError('JUNCTURA_ROLE_ELSEWHERE', {
    details: { command, where, ...(fix !== undefined && { fix }) },
  })
}
