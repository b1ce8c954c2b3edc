import { readFileSync } from 'node:fs'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildPackage, type BuiltPackage, startProgram } from '../cli/built-package.ts'

const PAGE = new URL('../../docs/how-to/embed-it.md', import.meta.url)
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

/** The program of the page, as a reader saves it. */
const program = (): string =>
  /^```ts file=shop\.ts\n(.*?)^```$/ms.exec(readFileSync(PAGE, 'utf8'))?.[1] ?? ''

let built: BuiltPackage
beforeAll(async () => void (built = await buildPackage()))
afterAll(() => built.remove())

const project = (name: string): string =>
  built.project(name, { 'package.json': '{ "type": "module" }', 'shop.ts': program() })

describe('the page about embedding', () => {
  it('shows a program that takes signed requests, publishes, and stops in order', async () => {
    const shop = startProgram([process.execPath, 'shop.ts'], {
      cwd: project('shop'),
      env: { PARTNER_SECRET: SECRET },
    })
    try {
      const [, url, managementUrl] = await shop.until('out', /partners at (\S+), people at (\S+)/)
      const body = JSON.stringify({ orderId: 'of-a-partner' })
      const signedAt = new Date()
      const signed = await fetch(`${url}/webhooks/partner`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': 'evt_1',
          'webhook-timestamp': String(Math.floor(signedAt.getTime() / 1_000)),
          'webhook-signature': new Webhook(SECRET).sign('evt_1', signedAt, body),
        },
        body,
      })
      const refused = await fetch(`${url}/webhooks/partner`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      await shop.until('out', /booked of-our-own/)
      await shop.until('out', /booked of-a-partner/)
      const ready = await fetch(`${managementUrl}/readyz`)
      const metrics = await (await fetch(`${managementUrl}/metrics`)).text()
      shop.kill('SIGTERM')
      const { code, out, err } = await shop.ended

      expect([signed.status, refused.status, ready.status]).toEqual([202, 401, 200])
      expect(metrics).toContain('junctura_resident_memory_bytes')
      expect([code, out.trimEnd().split('\n').at(-1)]).toEqual([0, 'stopped'])
      // Nobody gave it a logger: what an operator must know is on stderr all the same.
      expect(JSON.parse(err)).toMatchObject({
        level: 'warn',
        message: 'a request was refused',
        detail: 'missing-header',
      })
    } finally {
      shop.kill('SIGKILL')
    }
  })

  it('shows a program that does not start without its secret, and says which one', async () => {
    const cwd = project('shop-without-secret')
    const ended = await startProgram([process.execPath, 'shop.ts'], { cwd }).ended

    expect(ended.code).toBe(1)
    expect(ended.err).toContain('PARTNER_SECRET')
  })
})
