import { describe, expect, it } from 'vitest'
import { readNatsUrl } from './nats-url.ts'

describe('readNatsUrl', () => {
  it.each([
    ['http://one', 'does not name a server'],
    ['nats://', 'does not name a server'],
    ['nats://one,http://two', 'does not name a server'],
    ['nats://one?sync=always', 'the setting sync'],
    ['nats://one?replicas=0', 'replicas'],
    ['nats://one?replicas=three', 'replicas'],
    ['nats://one?durability=sure', 'durability'],
  ])('refuses %s', (url, problem) => {
    expect(() => readNatsUrl(url)).toThrow(problem)
  })

  it('repeats no password when it refuses', () => {
    expect(() => readNatsUrl('http://me:s3cret@one')).not.toThrow('s3cret')
  })

  it('reads several servers, a login with any signs, and settings', () => {
    expect(readNatsUrl('nats://me:a%40b@one:1,two:2?replicas=3&durability=fsync')).toEqual({
      servers: ['one:1', 'two:2'],
      login: { user: 'me', pass: 'a@b' },
      isTls: false,
      replicas: 3,
      durability: 'fsync',
    })
  })

  it('takes a user without a password as a token, and tls: as such', () => {
    expect(readNatsUrl('tls://s3cret@one')).toEqual({
      servers: ['one'],
      login: { token: 's3cret' },
      isTls: true,
    })
  })
})
