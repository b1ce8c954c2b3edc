// Messages that take the whole process down, and a supervisor that starts it again each time.
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import type { DeadLetterRow, Page } from 'junctura'
import { createPartner, type Partner } from './partner.ts'
import { createRandom } from './random.ts'
import { type RuntimeProcess, startRuntime } from './runtime-process.ts'

export interface KillerMessageResult {
  readonly partner: Partner
  /** Processes it took until one stayed up. */
  readonly lives: number
  readonly deadLetters: readonly DeadLetterRow[]
  /** Acknowledged messages of other orders that have no effect, or more than one. */
  readonly harmedNeighbours: readonly string[]
  /** Orders that killed the process and had an effect all the same. */
  readonly killersWithEffect: number
}

const INTEGRATION = join(import.meta.dirname, 'killer-message.fixture.ts')
const LIVES_MAX = 40
/** Load goes on, over as many lives as it takes, until so many messages were sent. */
const MESSAGES_MIN = 300
/** A process that lives so long after its last message is past all of them. */
const STEADY_MS = 2_000

export const runKillerMessage = async (options: {
  readonly dataDir: string
  readonly seed: number
}): Promise<KillerMessageResult> => {
  const { dataDir, seed } = options
  const partner = createPartner({
    random: createRandom(seed),
    keys: 20,
    prefixOf: (order) => (order % 20 === 5 && order < 40 ? 'POISON' : 'A'),
    giveUpShare: 0,
  })
  for (let lives = 1; lives <= LIVES_MAX; lives++) {
    const runtime = await startRuntime({ dataDir, integration: INTEGRATION }).catch(() => undefined)
    // It died of what it found: the next one goes on from there.
    if (!runtime) continue
    try {
      if (await liveOn(runtime, partner)) {
        return { partner, lives, ...(await lookAround(runtime, partner, dataDir)) }
      }
    } finally {
      await runtime.kill()
    }
  }
  throw new Error(`the process was still dying after ${LIVES_MAX} starts`)
}

/** Whether the process was still there after the load of this life, the last one. */
async function liveOn(runtime: RuntimeProcess, partner: Partner): Promise<boolean> {
  const died = runtime.ended.then(() => 'died')
  const webhookUrl = `${runtime.url}/webhooks/acme`
  if (partner.messages.length < MESSAGES_MIN) {
    const load = partner.startLoad(webhookUrl, 4)
    await Promise.race([died, delay(500)])
    await load.stop()
  }
  if (partner.messages.length < MESSAGES_MIN) return false
  await Promise.race([died, partner.finish(webhookUrl)])
  return (await Promise.race([died, delay(STEADY_MS, 'steady')])) === 'steady'
}

async function lookAround(
  runtime: RuntimeProcess,
  partner: Partner,
  dataDir: string,
): Promise<Omit<KillerMessageResult, 'partner' | 'lives'>> {
  await partner.finish(`${runtime.url}/webhooks/acme`)
  await delay(500)
  const { items } = await runtime.get<Page<DeadLetterRow>>('/api/v1/dead-letters?limit=500')
  const db = new DatabaseSync(join(dataDir, 'junctura.db'), { readOnly: true, timeout: 10_000 })
  try {
    const rows = db.prepare('select order_id, message_id from effects').all()
    const effects = rows.map((row) => String(row['message_id']))
    const times = (id: string): number => effects.filter((one) => one === id).length
    return {
      deadLetters: items,
      harmedNeighbours: partner.messages
        .filter(({ messageId, orderId }) => messageId !== undefined && orderId.startsWith('A-'))
        .map(({ messageId = '' }) => messageId)
        .filter((messageId) => times(messageId) !== 1),
      killersWithEffect: rows.filter((row) => String(row['order_id']).startsWith('POISON-')).length,
    }
  } finally {
    db.close()
  }
}
