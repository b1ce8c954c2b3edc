import { describe, expect, it } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { only, openInbox, order } from './inbox.fixture.ts'

describe('repeats', () => {
  it('are counted per message and written at most once a second', async () => {
    const bench = openInbox()
    const first = await bench.send('k1', order('A'))
    for (let index = 0; index < 20; index++) await bench.send('k1', order('A'))
    expect(await bench.rows('repeats')).toEqual([])

    await bench.kernel.clock.advance(1_000)

    expect(only(await bench.rows('repeats'))).toMatchObject({
      webhook: 'acme',
      messageId: first.kind === 'accepted' && first.id,
      repeats: 20,
      differences: 0,
    })
  })

  it('add up over flushes and are written at close', async () => {
    const bench = openInbox()
    await bench.send('k1', order('A'))
    await bench.send('k1', order('A'))
    await bench.kernel.clock.advance(1_000)
    await bench.send('k1', order('A'))

    await bench.inbox.close()

    expect(only(await bench.rows('repeats')).repeats).toBe(2)
  })

  it('show how many, and which message is repeated for the longest', async () => {
    const bench = openInbox()
    const old = await bench.send('old', order('A'))
    await bench.kernel.clock.advance(600_000)
    await bench.send('new', order('B'))
    await bench.send('new', order('B'))
    await bench.send('old', order('A'))

    const summary = await bench.inbox.repeatsOf('acme')

    expect(summary.messages).toHaveLength(2)
    expect(summary.perMinute).toBe(2)
    expect(summary.longest?.messageId).toBe(old.kind === 'accepted' ? old.id : '')
  })

  it('of a message accepted long ago are told to the owner, once', async () => {
    const bench = openInbox()
    await bench.send('k1', order('A'))
    await bench.send('k1', order('A'))
    await bench.kernel.clock.advance(1_000)
    expect(bench.alerts).toEqual([])

    await bench.kernel.clock.advance(LIMITS.repeatAlertAfterMs)
    for (let index = 0; index < 3; index++) {
      await bench.send('k1', order('A'))
      await bench.kernel.clock.advance(1_000)
    }

    expect(only(bench.alerts)).toMatchObject({ kind: 'retrying', owner: { name: 'owners' } })
  })

  it('beyond what is tracked are still answered', async () => {
    const bench = openInbox()
    await bench.send('k1', order('A'))

    const results = await Promise.all(
      Array.from({ length: 500 }, () => bench.send('k1', order('A'))),
    )

    expect(results.every(({ kind }) => kind === 'duplicate')).toBe(true)
  })
})

describe('the status of a message', () => {
  it('is found by its id and by the key of its sender', async () => {
    const bench = openInbox()
    const sent = await bench.send('k1', order('A'))
    await bench.send('k2', order('B'))
    await bench.send('k1', order('A'))
    const id = sent.kind === 'accepted' ? sent.id : ''

    const byKey = await bench.inbox.statusOf(bench.hook, 'k1')
    const byId = await bench.inbox.statusOf(bench.hook, id)

    expect(byKey).toMatchObject({ id, key: 'k1', repeats: 1, border: 'events' })
    expect(byId).toEqual(byKey)
    expect(await bench.inbox.statusOf(bench.hook, 'k3')).toBeUndefined()
  })

  it('is found among many messages of many moments', async () => {
    const bench = openInbox()
    const ids: string[] = []
    for (let index = 0; index < 60; index++) {
      const sent = await bench.send(`k${index}`, order(`A${index}`))
      if (sent.kind === 'accepted') ids.push(sent.id)
      await bench.kernel.clock.advance(index % 7)
    }

    const found = await Promise.all(ids.map((id) => bench.inbox.statusOf(bench.hook, id)))

    expect(found.map((status) => status?.id)).toEqual(ids)
    const unknown = ids[0]?.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) ?? ''
    expect(await bench.inbox.statusOf(bench.hook, unknown)).toBeUndefined()
  })
})
