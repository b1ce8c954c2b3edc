import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { standardWebhooks } from '../contract/index.ts'
import type { AlertRoute } from '../contract/index.ts'
import type { Kernel } from '../kernel/index.ts'
import type { AlertNotification } from '../observe/index.ts'
import { resolveSecrets, resolveSecretText, signRequest } from '../security/index.ts'
import type { SendNotification } from './alert-notifier.ts'

/** A route has this long to take a notification, answer included. */
const TIMEOUT_MS = 10_000

/**
 * Sends notifications over the routes that leave the process. One of the few files that open
 * connections; it holds no policy: retries and order are the notifier's.
 */
export const createAlertDialer =
  (kernel: Kernel): SendNotification =>
  async (alert, notification, signal) => {
    const { target } = alert
    if (target.kind === 'log') {
      const { id, kind, title, owner, count, severity } = notification
      kernel.log.warn(
        { alert: alert.id, notification: id, owner, count, severity },
        `alert ${kind}: ${title}`,
      )
      return
    }
    if (target.kind === 'http') await postSigned(kernel, target, { notification, signal })
    else await postPagerDuty(kernel, target, { notification, signal })
  }

interface Sending {
  readonly notification: AlertNotification
  readonly signal: AbortSignal
}

async function postSigned(
  kernel: Kernel,
  target: Extract<AlertRoute, { kind: 'http' }>,
  { notification, signal }: Sending,
): Promise<void> {
  const body = Buffer.from(JSON.stringify({ type: `alert.${notification.kind}`, ...notification }))
  const scheme = standardWebhooks({ secret: target.secret })
  const { keys } = await resolveSecrets(kernel, scheme)
  const headers = signRequest({
    scheme,
    keys,
    messageId: notification.id.replaceAll('.', '_'),
    timestampMs: kernel.clock.now(),
    body,
  })
  await post(new URL(target.url), { headers, body, signal })
}

/** @see PagerDuty Events API v2: the dedup_key joins trigger and resolve of one alert. */
async function postPagerDuty(
  kernel: Kernel,
  target: Extract<AlertRoute, { kind: 'pagerduty' }>,
  { notification, signal }: Sending,
): Promise<void> {
  const body = Buffer.from(
    JSON.stringify({
      routing_key: await resolveSecretText(kernel, target.routingKey),
      event_action: notification.kind === 'resolved' ? 'resolve' : 'trigger',
      dedup_key: notification.alertId,
      payload: {
        summary: `${notification.title} (${notification.count})`,
        source: 'junctura',
        severity: notification.severity,
        timestamp: notification.lastAt,
        group: notification.owner,
        custom_details: notification,
      },
    }),
  )
  await post(new URL(target.url), { headers: {}, body, signal })
}

function post(
  url: URL,
  sending: {
    readonly headers: Readonly<Record<string, string>>
    readonly body: Buffer
    readonly signal: AbortSignal
  },
): Promise<void> {
  const open = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = open(
      url,
      {
        method: 'POST',
        signal: AbortSignal.any([sending.signal, AbortSignal.timeout(TIMEOUT_MS)]),
        headers: {
          'content-type': 'application/json',
          'content-length': sending.body.length,
          ...sending.headers,
        },
      },
      (response) => {
        response.resume()
        const status = response.statusCode ?? 0
        if (status >= 200 && status < 300) resolve()
        else reject(new Error(`the route answered ${status}`))
      },
    )
    request.on('error', reject)
    request.end(sending.body)
  })
}
