import { type Duration, durationMs, LIMITS } from '../kernel/index.ts'
import type { AnyContract } from './contract.ts'
import type { SecretInput } from './secret.ts'
import { standardWebhooks } from './scheme-presets.ts'
import type { SignedScheme } from './scheme-types.ts'
import { checkUrl } from './system.ts'
import { checkRange, required } from './webhook.ts'

/** Where a consumer's messages are sent, as it is declared. */
export interface PushOptions {
  /**
   * An address of your own, so private networks and loopback are allowed, and it is called as it
   * is written: no redirect is followed. Without a user name or password.
   */
  readonly url: string
  /**
   * Signs each request as Standard Webhooks `v1`, so that the receiver knows who sends. Of several
   * secrets each adds a signature, so that one can be changed without a pause.
   *
   * @default none: nothing proves who sends
   */
  readonly secret?: SecretInput
  /**
   * How a CloudEvent is written: attributes as headers and the data as the body, or all of it as
   * one JSON document.
   *
   * @default 'binary'
   */
  readonly mode?: 'binary' | 'structured'
  /**
   * The whole exchange, the answer's body included.
   *
   * @default '15s', or the consumer's `timeout` when that is shorter
   * @maximum the consumer's `timeout`
   */
  readonly timeout?: Duration
  /**
   * The longest wait that a receiver may ask for with `Retry-After`.
   *
   * @default '10m'
   * @maximum '24h'
   */
  readonly retryAfterMax?: Duration
  /**
   * Of an answer; what is longer is not read. With `emits`, events that are longer are refused.
   *
   * @default 65_536
   * @maximum 1_048_576
   */
  readonly answerBytesMax?: number
  /**
   * Contracts of which the receiver may answer events, as a CloudEvent or a batch of them. They
   * commit together with the message's completion. @default none: what is answered is not read
   */
  readonly emits?: readonly AnyContract[]
}

/** The same as the runtime reads it. */
export interface Push {
  readonly url: string
  readonly verify?: SignedScheme
  readonly mode: 'binary' | 'structured'
  readonly timeoutMs: number
  readonly retryAfterMsMax: number
  readonly answerBytesMax: number
  readonly emits: readonly AnyContract[]
}

const TIMEOUT_MS = 15_000

/** @throws JUNCTURA_DECLARATION when an option is unusable. */
export const resolvePush = (
  options: PushOptions,
  field: string,
  attemptTimeoutMs: number,
): Push => {
  const { url, secret, mode = 'binary', timeout, retryAfterMax, answerBytesMax, emits } = options
  checkUrl(required(url, `${field}.url`, 'write where the receiver is'), field)
  const timeoutMs =
    timeout === undefined
      ? Math.min(TIMEOUT_MS, attemptTimeoutMs)
      : durationMs(timeout, `${field}.timeout`)
  return Object.freeze({
    url,
    ...(secret !== undefined && { verify: standardWebhooks({ secret }) }),
    mode: mode === 'structured' ? mode : 'binary',
    timeoutMs: checkRange(timeoutMs, `${field}.timeout`, { minimum: 1, maximum: attemptTimeoutMs }),
    retryAfterMsMax: checkRange(
      durationMs(retryAfterMax ?? '10m', `${field}.retryAfterMax`),
      `${field}.retryAfterMax`,
      { minimum: 0, maximum: LIMITS.retryDelayMsMax },
    ),
    answerBytesMax: checkRange(answerBytesMax ?? 65_536, `${field}.answerBytesMax`, {
      minimum: 1,
      maximum: LIMITS.pushAnswerBytesMax,
    }),
    emits: emits ?? [],
  })
}

/** The consumer as if its receiver took everything: for tests, which reach nobody. */
export const takenPush = <C extends { readonly push?: Push }>(consumer: C): Omit<C, 'push'> => {
  const { push: _, ...rest } = consumer
  return rest
}
