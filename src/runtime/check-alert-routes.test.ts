import { describe, expect, it } from 'vitest'
import { type Consumer, integration, route, secret, team } from '../contract/index.ts'
import type { LogFields } from '../kernel/index.ts'
import { createMemoryStore } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime, type RuntimeOptions } from './create-runtime.ts'
import { placedConsumer } from './world.fixture.ts'

const STRONG = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const pager = team('pager', { oncall: route.pagerDuty({ routingKey: secret.env('PAGER_KEY') }) })
const hook = route.http({
  url: 'https://alerts.example.com/in',
  secret: secret.env('ALERT_SECRET'),
})

const alerting = (): readonly Consumer[] => [
  placedConsumer('one', { owner: pager }, () => Promise.resolve()),
  placedConsumer('two', { deadLetter: { alert: hook } }, () => Promise.resolve()),
  placedConsumer('three', { deadLetter: { alert: hook } }, () => Promise.resolve()),
]

const start = async (
  env: Readonly<Record<string, string>>,
  options: Pick<RuntimeOptions, 'send' | 'alertSecrets'> = {},
) => {
  const kernel = createVirtualKernel({ env })
  const warnings: (readonly [LogFields, string])[] = []
  const warn = (fields: LogFields, message: string) => void warnings.push([fields, message])
  const log = { ...kernel.log, warn }
  const runtime = await createRuntime(integration('demo', { parts: alerting() }), {
    kernel,
    log,
    store: createMemoryStore({ clock: kernel.clock }),
    ...options,
  })
  await runtime.close()
  return warnings
}

describe('a start', () => {
  it('is refused while an alert could not be sent, with each variable and its fix', async () => {
    await expect(start({})).rejects.toMatchObject({
      code: 'JUNCTURA_REFUSED_START',
      details: {
        list: [
          {
            rule: 'alert-secret',
            part: 'team "pager"',
            problem: expect.stringContaining('PAGER_KEY'),
            fix: expect.stringContaining('set the environment variable PAGER_KEY'),
          },
          { part: 'consumer "two"', problem: expect.stringContaining('ALERT_SECRET') },
        ],
      },
    })
    expect(await start({ PAGER_KEY: 'key', ALERT_SECRET: STRONG })).toEqual([])
  })

  it('is refused for a secret that sending could not use', async () => {
    const weak = start({ PAGER_KEY: 'key', ALERT_SECRET: 'whsec_c2hvcnQ=' })
    await expect(weak).rejects.toMatchObject({ details: { count: 1 } })
    await expect(start({ PAGER_KEY: ' ', ALERT_SECRET: STRONG })).rejects.toThrow('it is empty')
  })

  it('only warns where a developer says so, and does not look where somebody else sends', async () => {
    expect(await start({}, { alertSecrets: 'warn' })).toMatchObject([
      [{ fix: expect.stringContaining('PAGER_KEY') }, expect.stringContaining('PAGER_KEY')],
      [{}, expect.stringContaining('ALERT_SECRET')],
    ])
    expect(await start({}, { send: () => Promise.resolve() })).toEqual([])
  })
})

describe('the URL of a route', () => {
  it.each(['', 'alerts.example.com', '/alerts', 'ftp://example.com', 'https://u:p@example.com/'])(
    'cannot be %j',
    (url) => {
      const options = { url, secret: secret.env('S'), routingKey: secret.env('S') }
      expect(() => route.http(options)).toThrow('route.http.url')
      expect(() => route.pagerDuty(options)).toThrow('route.pagerDuty.url')
    },
  )

  it('is not repeated in the error, since it may be a secret in the wrong place', () => {
    const wrong = () => route.http({ url: 'whsec_abc', secret: secret.env('S') })
    expect(wrong).not.toThrow('whsec_abc')
  })
})
