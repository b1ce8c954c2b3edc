import { describe, expect, it } from 'vitest'
import { readBridges, readTransportChoice } from './transport-choice.ts'

const SQLITE = { engine: 'sqlite', directory: '.junctura' } as const
const POSTGRES = { engine: 'postgres', url: 'postgres://db/orders' } as const

describe('--transport', () => {
  it.each([
    ['embedded', { engine: 'embedded' }],
    ['postgres', { engine: 'postgres' }],
    ['nats://one:4222,two:4222', { engine: 'nats', url: 'nats://one:4222,two:4222' }],
    ['kafka://one:9092', { engine: 'kafka', url: 'kafka://one:9092' }],
    ['kafkas://one:9093', { engine: 'kafka', url: 'kafkas://one:9093' }],
    ['amqps://user@one/vhost', { engine: 'rabbitmq', url: 'amqps://user@one/vhost' }],
  ])('takes %s', (text, choice) => {
    expect(readTransportChoice(text, SQLITE)).toEqual(choice)
  })

  it('takes a name before the URL, under which its place is kept', () => {
    const choice = { engine: 'kafka', name: 'new', url: 'kafka://user:a=b@one:9092?tls=true' }
    expect(readTransportChoice(`new=${choice.url}`, SQLITE)).toEqual(choice)
  })

  it('takes the URL of the store, whose log it is', () => {
    expect(readTransportChoice(POSTGRES.url, POSTGRES)).toEqual({ engine: 'postgres' })
  })

  it.each([
    ['postgres://db/other', 'not the store'],
    ['redis://one', 'no transport'],
    ['kafka+ssl://one', 'no transport'],
    ['nats', 'no transport'],
    ['', 'no transport'],
  ])('refuses %s and says why', (text, problem) => {
    expect(() => readTransportChoice(text, POSTGRES)).toThrow(problem)
  })
})

describe('--bridge', () => {
  it('takes brokers, with a name or without', () => {
    const bridge = ['nats://one', 'new=amqp://user@one']
    expect(readBridges({ bridge, bridgeFrom: 'earliest' })).toEqual([
      { engine: 'nats', url: 'nats://one', from: 'earliest' },
      { engine: 'rabbitmq', name: 'new', url: 'amqp://user@one', from: 'earliest' },
    ])
    expect(readBridges({ bridgeFrom: 'now' })).toEqual([])
  })

  it.each(['embedded', 'postgres://db/orders', 'new='])('refuses %s', (text) => {
    expect(() => readBridges({ bridge: [text], bridgeFrom: 'now' })).toThrow('no broker')
  })

  it('refuses another place to begin', () => {
    expect(() => readBridges({ bridgeFrom: 'yesterday' })).toThrow('yesterday is no place')
  })
})
