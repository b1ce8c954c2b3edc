import { describe, expect, it } from 'vitest'
import { readTransportChoice } from './transport-choice.ts'

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
