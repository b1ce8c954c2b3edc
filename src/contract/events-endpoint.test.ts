import { describe, expect, it } from 'vitest'
import { bearer } from './bearer-scheme.ts'
import { event } from './contract.ts'
import { eventsEndpoint, keyGroup } from './events-endpoint.ts'
import { integration } from './integration.ts'
import { secret } from './secret.ts'
import { system, team } from './system.ts'

const owner = team('owners')
const Placed = event('orders.placed', { owner, versions: { 1: { type: 'object' } } })
const Renamed = event('stock.moved', { owner, versions: { 1: { type: 'object' } } })
const TOKEN = 'a-token-of-the-shop-program-1234'

describe('the declaration of an events endpoint', () => {
  const options = {
    from: system('shop'),
    accepts: [Placed],
    verify: bearer({ secret: secret.env('EVENTS_TOKENS', { development: TOKEN }) }),
  }

  it.each([
    ['no contract', { accepts: [] }, /accepts: it is empty/],
    ['one contract twice', { accepts: [Placed, Placed] }, /listed twice/],
    ['a batch above the bound', { eventsMax: 1_001 }, /eventsMax/],
    ['a path that is none', { path: 'events' }, /path/],
    [
      'a signature of the body',
      { verify: { kind: 'signed' } as never },
      /does not cover the headers/,
    ],
  ])('refuses %s', (_, wrong, message) => {
    expect(() => eventsEndpoint('events', { ...options, ...wrong })).toThrow(message)
  })

  it('is a webhook for each contract in the Model, at one path', () => {
    const endpoint = eventsEndpoint('events', { ...options, accepts: [Placed, Renamed] })
    const { model } = integration('demo', { parts: [endpoint] })

    expect(model.webhooks).toMatchObject([
      { name: 'events/orders.placed', path: '/events', endpoint: { name: 'events' } },
      { name: 'events/stock.moved', path: '/events', verify: { kind: 'bearer' } },
    ])
    expect(JSON.stringify(model)).not.toContain(TOKEN)
  })

  it('shares neither its path nor its name with a webhook or another endpoint', () => {
    const [left, right] = ['events', 'more'].map((name) => eventsEndpoint(name, options))
    expect(() => integration('demo', { parts: [left, right].filter((one) => !!one) })).toThrow(
      /declared twice/,
    )
  })

  it('shares one memory of keys among its doors, and none with a webhook', () => {
    expect(['events/orders.placed', 'events/stock.moved', 'events'].map(keyGroup)).toEqual([
      'events',
      'events',
      'events',
    ])
    expect(keyGroup('acme')).toBe('acme')
  })
})
