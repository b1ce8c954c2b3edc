// As many connections as the listener takes, less a few, that send a byte now and then and never
// finish: half of them in the headers, half in the body.
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type AttackLine, faultsOf, figuresOf } from './attack.ts'
import { createPartner, type Partner } from './partner.ts'
import { memoryMiB } from './process-memory.ts'
import { createRandom } from './random.ts'
import { ROUGH_ORDERS, startRuntime } from './runtime-process.ts'
import { judge, type Verdict } from './verdict.ts'

export interface SlowSendersResult {
  readonly verdict: Verdict
  readonly partner: Partner
  readonly senders: number
  /** Acknowledged to honest senders while the slow ones were there. */
  readonly acknowledgedMeanwhile: number
  /** From the first slow one to the last that was cut off. */
  readonly allCutMs: number
  readonly memoryMiBMax: number
  readonly faults: readonly string[]
}

const HEADERS =
  'POST /webhooks/acme HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
const DIALS_AT_ONCE = 200
const DRIP_MS = 1_000
const CUT_MS_MAX = 120_000
const MEMORY_MIB_MAX = 1_000

export const runSlowSenders = async (options: {
  readonly dataDir: string
  readonly seed: number
  readonly senders: number
}): Promise<SlowSendersResult> => {
  const { dataDir, seed, senders } = options
  const partner = createPartner({
    random: createRandom(seed),
    giveUpShare: 0,
    perSecondMax: () => 50,
  })
  const runtime = await startRuntime({ dataDir, integration: ROUGH_ORDERS })
  const sockets: Socket[] = []
  try {
    // Its connections are there before the crowd: a listener that is full takes nobody.
    const load = partner.startLoad(`${runtime.url}/webhooks/acme`, 8)
    await delay(300)
    const fromMs = performance.now()
    const before = partner.counts.accepted
    const open = new Set<Socket>()
    for (let index = 0; index < senders; index++) {
      const socket = dialSlowly(runtime.url, index % 2 === 0)
      sockets.push(socket)
      open.add(socket)
      socket.on('close', () => open.delete(socket))
      if (index % DIALS_AT_ONCE === 0) await delay(10)
    }
    while (open.size > 0 && performance.now() - fromMs < CUT_MS_MAX) {
      await delay(DRIP_MS)
      for (const socket of open) socket.write('x')
    }
    const allCutMs = Math.round(performance.now() - fromMs)
    const acknowledgedMeanwhile = partner.counts.accepted - before
    await load.stop()
    await partner.finish(`${runtime.url}/webhooks/acme`)
    const verdict = await judge({ partner, runtime, dataDir })
    const memoryMiBMax = memoryMiB(runtime.pid).peak
    const faults = [...faultsOf(verdict, partner)]
    if (open.size > 0) faults.push(`${open.size} slow senders were never cut off`)
    if (memoryMiBMax > MEMORY_MIB_MAX) faults.push(`it took ${memoryMiBMax} MiB`)
    return { verdict, partner, senders, acknowledgedMeanwhile, allCutMs, memoryMiBMax, faults }
  } finally {
    for (const socket of sockets) socket.destroy()
    await runtime.kill()
  }
}

export const describeSlowSenders = (result: SlowSendersResult): AttackLine => ({
  what: `${result.senders} slow senders beside honest ones`,
  figures: figuresOf(result.verdict),
  recovery:
    `${result.acknowledgedMeanwhile} acknowledged meanwhile, all cut off within ` +
    `${Math.round(result.allCutMs / 1_000)} s, ${result.memoryMiBMax} MiB`,
  faults: result.faults,
})

function dialSlowly(url: string, isInBody: boolean): Socket {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.on('data', () => undefined)
  socket.write(isInBody ? `${HEADERS}Content-Length: 1000\r\n\r\n{` : `${HEADERS}x-slow: `)
  return socket
}
