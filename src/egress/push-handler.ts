import type { Consumer, ConsumerContext, Push } from '../contract/index.ts'
import { type Clock, isJuncturaError, JuncturaError, messageOf } from '../kernel/index.ts'
import type { SigningKey } from '../security/index.ts'
import type { HttpDial, HttpReply } from './http-dial.ts'
import { judgeReply } from './judge-reply.ts'
import { makePushRequest } from './push-request.ts'

export interface PushHandlerOptions {
  readonly consumer: Pick<Consumer, 'name' | 'on'>
  readonly push: Push
  readonly keys: readonly SigningKey[]
  readonly dial: HttpDial
  readonly clock: Clock
  /** The bytes that a message's data was read from, where they are in the version asked for. */
  readonly bytesOf: (data: unknown) => Uint8Array | undefined
  /** Takes the personal data of a message out of a text. */
  readonly maskText: (text: string, data: unknown) => string
}

/**
 * The handler of a consumer whose work is done by a receiver behind a URL. One call is one request
 * and one attempt; order, retries and dead letters are those of any consumer.
 *
 * @throws JUNCTURA_PUSH_REFUSED, which is permanent; JUNCTURA_PUSH_FAILED, which is tried again.
 */
export const createPushHandler = (options: PushHandlerOptions): Consumer['handle'] => {
  const { consumer, push, clock } = options
  return async (data, context) => {
    const nowMs = clock.now()
    const request = makePushRequest({
      push,
      consumer: consumer.name,
      message: context.message,
      data: options.bytesOf(data) ?? Buffer.from(JSON.stringify(data)),
      version: consumer.on.asked,
      attempt: context.attempt,
      replayRunId: context.replay?.runId,
      keys: options.keys,
      nowMs,
    })
    const reply = await send(options, request, context)
    const mask = (text: string): string => options.maskText(text, data)
    for (const draft of judgeReply(push, reply, { nowMs: clock.now(), mask })) context.emit(draft)
  }
}

async function send(
  { push, dial, clock }: PushHandlerOptions,
  { headers, body }: ReturnType<typeof makePushRequest>,
  { signal }: ConsumerContext,
): Promise<HttpReply> {
  const deadline = new AbortController()
  const timer = clock.setTimer(push.timeoutMs, () => deadline.abort())
  try {
    return await dial({
      method: 'POST',
      url: push.url,
      headers,
      body,
      signal: AbortSignal.any([signal, deadline.signal]),
      answerBytesMax: push.answerBytesMax,
    })
  } catch (cause) {
    // The attempt is over: it says why itself.
    if (signal.aborted) throw signal.reason
    if (isJuncturaError(cause)) throw cause
    const problem = deadline.signal.aborted
      ? `it did not answer whole within ${push.timeoutMs} ms`
      : `no answer came (${nameOf(cause)})`
    const { host } = new URL(push.url)
    throw new JuncturaError('JUNCTURA_PUSH_FAILED', { details: { host, problem }, cause })
  } finally {
    timer.cancel()
  }
}

/** The code of the system, such as ECONNREFUSED, says it in one word. */
function nameOf(cause: unknown): string {
  const code: unknown = typeof cause === 'object' && cause !== null && Reflect.get(cause, 'code')
  return typeof code === 'string' && code !== '' ? code : messageOf(cause)
}
