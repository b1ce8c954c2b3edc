import { describe, expect, it } from 'vitest'
import { isJuncturaError, messageOf } from '../../kernel/index.ts'
import { loadKafka } from './kafka-package.ts'
import { parseKafkaUrl } from './kafka-url.ts'

const failureOf = (act: () => unknown): unknown => {
  try {
    act()
  } catch (error) {
    return error
  }
  return undefined
}

describe('the URL of a Kafka cluster', () => {
  it('names one broker or several, each with its port or 9092', () => {
    expect(parseKafkaUrl('kafka://one')).toEqual({
      seeds: [{ host: 'one', port: 9092 }],
      isTls: false,
    })
    expect(parseKafkaUrl('kafka://one:1,two.example:2,[::1]:3/').seeds).toEqual([
      { host: 'one', port: 1 },
      { host: 'two.example', port: 2 },
      { host: '::1', port: 3 },
    ])
  })

  it('asks for TLS by its scheme or an option', () => {
    expect(parseKafkaUrl('kafkas://one').isTls).toBe(true)
    expect(parseKafkaUrl('kafka://one?tls=true').isTls).toBe(true)
    expect(parseKafkaUrl('kafkas://one?tls=false').isTls).toBe(false)
  })

  it('signs in without ever sending the password, unless another mechanism is named', () => {
    expect(parseKafkaUrl('kafka://app:a%40b:c@one').sasl).toEqual({
      mechanism: 'SCRAM-SHA-512',
      username: 'app',
      password: 'a@b:c',
    })
    expect(parseKafkaUrl('kafka://app:x@one?mechanism=plain').sasl?.mechanism).toBe('PLAIN')
  })

  it.each([
    'http://one',
    'kafka://',
    'kafka://one:0',
    'kafka://one:70000',
    'kafka://one,,two',
    'kafka://user:se%cret@one',
    'kafka://user:secret@one?mechanism=none',
    'kafka://user:secret@one?acks=0',
    'kafka://user:secret@one?tls=maybe',
  ])('refuses %s, and does not repeat the password', (url) => {
    const error = failureOf(() => parseKafkaUrl(url))

    expect(isJuncturaError(error, 'JUNCTURA_DECLARATION')).toBe(true)
    expect(messageOf(error)).not.toMatch(/se%?cret/)
  })
})

describe('the package of the Kafka client', () => {
  it('is named where it is not installed', async () => {
    const missing = Object.assign(new TypeError('not found'), { code: 'ERR_MODULE_NOT_FOUND' })

    await expect(loadKafka(() => Promise.reject(missing))).rejects.toMatchObject({
      code: 'JUNCTURA_PEER_MISSING',
      details: { package: '@platformatic/kafka' },
    })
  })

  it('does not hide another failure to load it', async () => {
    const broken = new TypeError('syntax')

    await expect(loadKafka(() => Promise.reject(broken))).rejects.toBe(broken)
  })
})
