import { describe, expect, it } from 'vitest'
import { JuncturaError } from '../kernel/index.ts'
import { acmeHook, openBorder, order, problemOf, signedHeaders } from './border.fixture.ts'
import type { BodySource } from './ingress-request.ts'

/** A body that must not be read. */
const untouched: BodySource = {
  read: () => Promise.reject(new JuncturaError('JUNCTURA_INVARIANT', { details: {} })),
}

describe('asking what became of a message', () => {
  const ask = (border: Awaited<ReturnType<typeof openBorder>>, id: string, headers = {}) =>
    border.send('', {
      method: 'GET',
      target: `/webhooks/acme/messages/${encodeURIComponent(id)}`,
      headers: { 'content-type': undefined, 'content-length': undefined, ...headers },
      body: untouched,
      id: 'ask_1',
    })

  it('needs the credentials of the sender', async () => {
    const border = await openBorder()
    await border.send(order())

    const response = await ask(border, 'evt_1', { 'webhook-signature': 'v1,AAAA' })

    expect(response.status).toBe(401)
  })

  it('shows the first receipt, the repeats and the outcome, by id and by key', async () => {
    const border = await openBorder()
    const receivedAtMs = border.kernel.clock.now()
    const id = String(problemOf(await border.send(order()))['id'])
    await border.kernel.clock.advance(1_000)
    await border.send(order())

    const byKey = await ask(border, 'evt_1')
    const byId = await ask(border, id)

    expect(byKey.status).toBe(200)
    expect(problemOf(byKey)).toEqual({
      id,
      key: 'evt_1',
      receivedAt: new Date(receivedAtMs).toISOString(),
      repeats: 1,
      lastRepeatAt: new Date(receivedAtMs + 1_000).toISOString(),
      outcome: 'stored',
    })
    expect(byId.body).toBe(byKey.body)
  })

  it('answers 404 for what was never accepted, and 405 for another method', async () => {
    const border = await openBorder()
    const headers = signedHeaders(border, acmeHook(), { signed: Buffer.alloc(0) })

    expect((await ask(border, 'evt_9')).status).toBe(404)
    const target = '/webhooks/acme/messages/evt_9'
    expect((await border.send('', { target, headers })).headers['allow']).toBe('GET, OPTIONS')
  })
})
