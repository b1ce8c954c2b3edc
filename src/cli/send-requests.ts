import { type Clock, isJuncturaError, sleep } from '../kernel/index.ts'
import type { CliIo, DialReply } from './cli-io.ts'
import type { PartnerRequest } from './partner-request.ts'

/** What one sending of one request came to. */
export interface SendResult {
  readonly id: string
  readonly outcome: 'accepted' | 'duplicate' | 'refused' | 'failed'
  /** Absent when no answer came. */
  readonly status?: number
  readonly messageId?: string
  readonly code?: string
  readonly detail?: string
  readonly latencyMs: number
}

export interface SendPlan {
  /** Of the public listener; the path is the request's. */
  readonly url: string
  /** Message number `n`, from 1; made just before it is sent, so that its timestamp is fresh. */
  readonly make: (n: number) => PartnerRequest
  readonly count: number
  /** Times that each message is sent. */
  readonly times: number
  /** Messages per second; without it, as fast as the answers come. */
  readonly perSecond?: number
  readonly signal: AbortSignal
  readonly onResult?: (result: SendResult) => void
}

const CONCURRENT = 8
/** Under a rate the load is open: a slow answer does not slow the sender, up to this many. */
const CONCURRENT_OPEN = 256

/**
 * Sends messages and waits for every answer. The repeats of one message follow each other, as a
 * partner retries; different messages overlap.
 *
 * @throws JUNCTURA_UNREACHABLE when the very first request gets no answer.
 */
export const sendRequests = async (
  io: Pick<CliIo, 'kernel' | 'dial'>,
  plan: SendPlan,
): Promise<readonly SendResult[]> => {
  const results: SendResult[] = []
  const running = new Set<Promise<void>>()
  const { clock } = io.kernel
  const startedMs = clock.monotonicMs()
  const limit = plan.perSecond === undefined ? CONCURRENT : CONCURRENT_OPEN
  for (let n = 1; n <= plan.count && !plan.signal.aborted; n++) {
    if (plan.perSecond !== undefined) {
      const dueMs = startedMs + ((n - 1) * 1_000) / plan.perSecond
      const waitMs = dueMs - clock.monotonicMs()
      if (waitMs > 0) await sleep(clock, waitMs, plan.signal)
    }
    const run = sendMessage(io, plan, n, results).finally(() => running.delete(run))
    running.add(run)
    // The first alone: an address where nothing answers is told once, not a thousand times.
    if (n === 1 || running.size >= limit) await Promise.race(running)
  }
  await Promise.all(running)
  return results
}

async function sendMessage(
  io: Pick<CliIo, 'kernel' | 'dial'>,
  plan: SendPlan,
  n: number,
  results: SendResult[],
): Promise<void> {
  const request = plan.make(n)
  for (let time = 0; time < plan.times && !plan.signal.aborted; time++) {
    const result = await sendOnce(io, plan, request, results.length === 0)
    results.push(result)
    plan.onResult?.(result)
  }
}

async function sendOnce(
  { kernel, dial }: Pick<CliIo, 'kernel' | 'dial'>,
  { url }: SendPlan,
  request: PartnerRequest,
  isFirst: boolean,
): Promise<SendResult> {
  const startedMs = kernel.clock.monotonicMs()
  try {
    const reply = await dial({
      method: 'POST',
      url: url + request.target,
      headers: request.headers,
      body: request.body,
    })
    return await readResult(reply, { id: request.id, clock: kernel.clock, startedMs })
  } catch (error) {
    if (isFirst || !isJuncturaError(error, 'JUNCTURA_UNREACHABLE')) throw error
    const latencyMs = kernel.clock.monotonicMs() - startedMs
    return { id: request.id, outcome: 'failed', detail: error.message, latencyMs }
  }
}

async function readResult(
  reply: DialReply,
  sent: { readonly id: string; readonly clock: Clock; readonly startedMs: number },
): Promise<SendResult> {
  const body = readBody(await reply.text())
  const text = (name: string): string | undefined => {
    const value = body[name]
    return typeof value === 'string' ? value : undefined
  }
  const { status } = reply
  const latencyMs = sent.clock.monotonicMs() - sent.startedMs
  const [messageId, code, detail] = [text('id'), text('code'), text('detail')]
  return {
    id: sent.id,
    outcome: outcomeOf(status, text('status')),
    status,
    ...(messageId !== undefined && { messageId }),
    ...(code !== undefined && { code }),
    ...(detail !== undefined && { detail }),
    latencyMs,
  }
}

/** By what the answer says; by its status where a scheme answers without a body. */
function outcomeOf(status: number, word: string | undefined): SendResult['outcome'] {
  if (status >= 500) return 'failed'
  if (status < 200 || status >= 300) return 'refused'
  if (word === 'accepted' || word === 'duplicate') return word
  return status === 200 ? 'duplicate' : 'accepted'
}

function readBody(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    // An answer without JSON still has its status.
    return {}
  }
}
