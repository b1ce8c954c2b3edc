import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, it } from 'vitest'
import { type AlertRoute, route, secret } from '../contract/index.ts'
import { createSystemKernel, type Kernel } from '../kernel/index.ts'
import { type AlertNotification, alertNotification, raiseAlert } from '../observe/index.ts'
import type { AlertRow } from '../store/index.ts'
import { createAlertDialer } from './alert-dialer.ts'

const SECRET = `whsec_${Buffer.from('a secret of thirty-two bytes, ok').toString('base64')}`

const kernel: Kernel = {
  ...createSystemKernel(),
  env: (name) => ({ ALERT_SECRET: SECRET, PAGER_KEY: 'routing-key-1' })[name],
}

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const servers: { close(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A route that answers with each status in turn, then with the last. */
const listen = async (
  statuses: readonly number[],
): Promise<{ readonly url: string; readonly received: Received[] }> => {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString('utf8') })
      response.writeHead(statuses[Math.min(received.length, statuses.length) - 1] ?? 200)
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  servers.push(server)
  // A TCP server has an address of this kind.
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/alerts`, received }
}

const alertFor = (target: AlertRoute): { alert: AlertRow; notification: AlertNotification } => {
  const event = {
    cause: 'c',
    title: 'one: database is down',
    owner: 'owners',
    route: target.kind,
    severity: 'critical',
    atMs: Date.UTC(2026, 0, 1),
  } as const
  const { record } = raiseAlert(undefined, event, kernel.ids)
  const alert = { ...record, kind: 'dead-letter', target }
  return { alert, notification: alertNotification(alert, 'opened') }
}

const signal = new AbortController().signal

describe('the routes of alerts', () => {
  it('post a notification that Standard Webhooks verifies, under an id that stays the same', async () => {
    const { url, received } = await listen([500, 204])
    const { alert, notification } = alertFor(
      route.http({ url, secret: secret.env('ALERT_SECRET') }),
    )
    const send = createAlertDialer(kernel)

    await expect(send(alert, notification, signal)).rejects.toThrow('500')
    await send(alert, notification, signal)

    const [first, second] = received
    for (const one of [first, second]) {
      // The library takes a plain record of headers, as Node gives them here.
      const headers = one?.headers as Record<string, string>
      const payload = new Webhook(SECRET).verify(one?.body ?? '', headers)
      expect(payload).toMatchObject({
        type: 'alert.opened',
        id: `${alert.id}.opened`,
        title: 'one: database is down',
        owner: 'owners',
        count: 1,
        state: 'open',
      })
    }
    expect(first?.headers['webhook-id']).toBe(second?.headers['webhook-id'])
  })

  it('send PagerDuty a trigger, and a resolve with the same dedup_key', async () => {
    const { url, received } = await listen([202])
    const target = route.pagerDuty({ routingKey: secret.env('PAGER_KEY'), url })
    const { alert, notification } = alertFor(target)
    const send = createAlertDialer(kernel)

    await send(alert, notification, signal)
    await send(alert, alertNotification(alert, 'resolved'), signal)

    const [trigger, resolve] = received.map(({ body }): unknown => JSON.parse(body))
    expect(trigger).toMatchObject({
      routing_key: 'routing-key-1',
      event_action: 'trigger',
      dedup_key: alert.id,
      payload: { summary: 'one: database is down (1)', source: 'junctura', severity: 'critical' },
    })
    expect(resolve).toMatchObject({ event_action: 'resolve', dedup_key: alert.id })
  })

  it('write one line for the log route, and do not follow a redirect', async () => {
    const lines: string[] = []
    const warn = (_fields: object, message: string): void => void lines.push(message)
    const logged = alertFor(route.log())
    const send = createAlertDialer({ ...kernel, log: { ...kernel.log, warn } })
    await send(logged.alert, logged.notification, signal)
    expect(lines).toEqual(['alert opened: one: database is down'])

    const { url } = await listen([302])
    const moved = alertFor(route.http({ url, secret: secret.env('ALERT_SECRET') }))
    await expect(send(moved.alert, moved.notification, signal)).rejects.toThrow('302')
  })

  it('give up when nobody answers and the process stops', async () => {
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    servers.push({ close: () => void (server.closeAllConnections(), server.close()) })
    // A TCP server has an address of this kind.
    const { port } = server.address() as AddressInfo
    const target = route.http({
      url: `http://127.0.0.1:${port}/`,
      secret: secret.env('ALERT_SECRET'),
    })
    const { alert, notification } = alertFor(target)
    const stop = new AbortController()
    const sending = createAlertDialer(kernel)(alert, notification, stop.signal)
    stop.abort()
    await expect(sending).rejects.toThrow()
  })
})
