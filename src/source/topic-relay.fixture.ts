import { decodeRecord } from '../contract/index.ts'
import { createContractBook } from '../inbox/index.ts'
import { JuncturaError } from '../kernel/index.ts'
import { type Committer, createCommitter, type RowWrite, type Store } from '../store/index.ts'
import { createMemoryStore } from '../store/memory/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import type { ForeignTopic, ReceivedMessage, TopicReadOptions } from '../transport/index.ts'
import type { TopicAlert } from './topic-alert.ts'
import { createTopicRelay, type TopicRelay } from './topic-relay.ts'
import { BROKER_URL, PaymentCaptured, paymentsSource } from './topic-world.fixture.ts'

/** A topic of one partition in memory, and the readers of it. */
export interface MemoryTopic {
  isDown: boolean
  readonly messages: ReceivedMessage[]
  put(data: unknown, over?: Partial<ReceivedMessage>): void
  /** Says to every reader that so many were gone before what comes next. */
  skip(offsets: number): void
  /** For `TopicRelayOptions.open`. */
  open(): Promise<ForeignTopic>
}

export interface RelayBench {
  readonly kernel: ReturnType<typeof createVirtualKernel>
  readonly store: Store
  readonly committer: Committer
  readonly topic: MemoryTopic
  /** Set to make every commit fail. */
  readonly refuse: { with?: unknown }
  /** Invalid messages that count as open beside those that are. */
  readonly shelf: { others: number }
  /** Raised, and `resolved:CAUSE`. */
  readonly told: string[]
  relay(): TopicRelay
  /** Lets time pass in small steps, so that what each of them brings about is done. */
  pass(ms: number): Promise<void>
  /** Ids in the log, in its order. */
  logged(): Promise<readonly string[]>
}

export const createRelayBench = (): RelayBench => {
  const kernel = createVirtualKernel()
  const { clock } = kernel
  const store = createMemoryStore({ clock })
  const committer = createCommitter({ store, clock, log: kernel.log, onAppended: () => undefined })
  const refuse: { with?: unknown } = {}
  const shelf = { others: 0 }
  const told: string[] = []
  const topic = memoryTopic(clock)
  const source = paymentsSource(
    { kafka: BROKER_URL, topic: 'payments' },
    {
      format: { json: PaymentCaptured },
    },
  )
  const guarded: Pick<Committer, 'submit' | 'mode'> = {
    get mode() {
      return committer.mode
    },
    submit: async (unit) =>
      refuse.with === undefined
        ? await committer.submit(unit)
        : { status: 'failed', error: refuse.with },
  }
  const open = new Set<string>()
  const raiseAlert = ({ kind, title, cause }: TopicAlert): readonly RowWrite[] => {
    open.add(cause)
    told.push(`${kind}: ${title}`)
    return []
  }
  return {
    kernel,
    store,
    committer,
    topic,
    refuse,
    shelf,
    told,
    relay: () =>
      createTopicRelay({
        source,
        kernel,
        store: {
          scan: (query) => store.scan(query),
          count: async (query) => shelf.others + (await store.count(query)),
        },
        committer: guarded,
        book: createContractBook([PaymentCaptured]),
        open: () => topic.open(),
        raiseAlert,
        resolveAlert: (cause) => {
          if (open.delete(cause)) told.push(`resolved:${cause}`)
          return []
        },
        offer: () => undefined,
        onMoved: () => undefined,
        onLost: () => undefined,
      }),
    async pass(ms) {
      for (let passed = 0; passed < ms; passed += STEP_MS) await clock.advance(STEP_MS)
    },
    async logged() {
      const { channel } = PaymentCaptured
      const query = { channel, afterPosition: 0, limit: 100_000, bytesMax: 1e9 }
      const { records } = await store.readLog(query)
      return records.map(({ bytes, position }) => decodeRecord(bytes, position).head.envelope.id)
    },
  }
}

const STEP_MS = 20

const down = (): JuncturaError =>
  new JuncturaError('JUNCTURA_TRANSPORT_UNAVAILABLE', {
    details: { engine: 'memory', problem: 'it is down' },
  })

function memoryTopic(clock: ReturnType<typeof createVirtualKernel>['clock']): MemoryTopic {
  const readers = new Set<TopicReadOptions>()
  const messages: ReceivedMessage[] = []
  const topic: MemoryTopic = {
    isDown: false,
    messages,
    put(data, over = {}) {
      const offset = String(messages.length)
      const bytes = Buffer.from(typeof data === 'string' ? data : JSON.stringify(data))
      const base = { partition: 0, offset, key: '', attributes: {}, headers: {}, data: bytes }
      messages.push({ ...base, ...over })
    },
    skip(offsets) {
      for (const { onSkipped } of readers) onSkipped(0, offsets)
    },
    async open() {
      if (topic.isDown) throw down()
      return {
        reading: 'offset',
        async inspect() {
          if (topic.isDown) throw down()
          const span = { first: '0', next: String(messages.length) }
          return { incarnation: 'one', partitions: { '0': span } }
        },
        describe: () => Promise.resolve({ survives: 'process', settings: '', problems: [] }),
        read: async (options) => {
          readers.add(options)
          let place = Number(options.from['0'])
          let isClosed = false
          const loop = (async () => {
            while (!isClosed) {
              const batch = topic.isDown ? [] : messages.slice(place, place + 500)
              if (batch.length > 0) {
                const isGiven = await options.onBatch(batch).then(
                  () => true,
                  () => false,
                )
                if (isGiven) place += batch.length
              }
              await new Promise<void>((resolve) => void clock.setTimer(10, resolve))
            }
          })()
          return {
            places: () => ({ '0': String(place) }),
            async close() {
              isClosed = true
              readers.delete(options)
              await loop
            },
          }
        },
        close: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }
    },
  }
  return topic
}
