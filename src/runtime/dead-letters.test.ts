import { describe, expect, it } from 'vitest'
import { event, integration, jsonSchema, consumer } from '../contract/index.ts'
import { leasesOf } from './leases.fixture.ts'
import {
  createWorld,
  effect,
  EFFECTS,
  type Order,
  owners,
  placedConsumer,
  policy,
  type World,
} from './world.fixture.ts'

const quick = { retry: { attempts: 1, first: 0, max: '1s' } } as const

/** A consumer that fails for these numbers until it is mended. */
const brittle = (
  name: string,
  isBad: (order: Order) => boolean,
  options: Partial<Parameters<typeof placedConsumer>[1]> = {},
): { readonly one: ReturnType<typeof placedConsumer>; mend(): void } => {
  let isMended = false
  const one = placedConsumer(name, { ...quick, ...options }, async (order, ctx) => {
    if (!isMended && isBad(order)) throw new Error(`number ${order.n} is bad`)
    await effect(name, order, ctx)
  })
  return { one, mend: () => void (isMended = true) }
}

const letterIds = async (world: World): Promise<readonly string[]> =>
  (await world.runtime.deadLetters({ limit: 500 })).items.map(({ id }) => id)

const numbers = (count: number): readonly Order[] =>
  Array.from({ length: count }, (_, n) => ({ key: 'a', n }))

describe('a dead letter', () => {
  it('says everything somebody needs to act on it (M23, F52)', async () => {
    const world = createWorld()
    const { one } = brittle('one', () => true, {
      retry: { attempts: 2, first: '1s', max: '1s', jitter: 'none' },
    })
    await world.start([one])
    const [messageId] = await world.publish({ key: 'a', n: 3 })
    await world.pass(2_000)

    const { items } = await world.runtime.deadLetters({ consumer: 'one' })
    expect(items).toMatchObject([
      {
        stage: 'handler',
        state: 'open',
        consumer: 'one',
        owner: 'owners',
        messageId,
        position: 1,
        channel: 'orders',
        key: 'a',
        type: 'orders.placed',
        contractVersion: 1,
        attempts: 2,
        crashes: 0,
        errorName: 'Error',
        errorMessage: 'number 3 is bad',
        modelHash: world.runtime.model.hash,
        parked: true,
      },
    ])
    const [letter] = items
    expect(letter?.errorStack).toContain('dead-letters.test.ts')
    expect((letter?.lastFailedAtMs ?? 0) - (letter?.firstFailedAtMs ?? 0)).toBeGreaterThanOrEqual(
      1_000,
    )
    const view = await world.runtime.deadLetter(letter?.id ?? '')
    expect(view).toMatchObject({ payload: { key: 'a', n: 3 }, successors: 0 })
  })

  it('groups by cause: a thousand of one cause are one group', async () => {
    const world = createWorld()
    const { one } = brittle('one', () => true, { afterDeadLetter: 'skip' })
    await world.start([one])
    await world.publish(...numbers(1_000))
    await world.runtime.idle()

    const groups = await world.runtime.deadLetterGroups()
    expect(groups).toMatchObject([{ count: 1_000, keys: 1, consumer: 'one', more: false }])
    expect((await world.runtime.overview()).deadLettersOpen).toBe(1_000)
    expect((await world.runtime.consumers())[0]).toMatchObject({ deadLettersOpen: 1_000 })
  })

  it('names no personal data of its message, wherever the error is told (F57)', async () => {
    const world = createWorld()
    const SECRET = 'jane@secret.example'
    const Mail = event('mails.wanted', {
      owner: owners,
      key: 'id',
      pii: ['to'],
      versions: {
        1: jsonSchema<{ id: string; to: string }>({
          type: 'object',
          properties: { id: { type: 'string' }, to: { type: 'string' } },
        }),
      },
    })
    const told: string[] = []
    const tell = (fields: object, message: string): void =>
      void told.push(message + JSON.stringify(fields))
    const log = { debug: tell, info: tell, warn: tell, error: tell }
    const one = consumer('one', {
      ...policy,
      ...quick,
      on: Mail,
      handle: async (mail, ctx) => {
        ctx.log(`sending to ${mail.to}`, { to: mail.to })
        throw new Error(`no such user: ${mail.to}`)
      },
    })
    const build = () => integration('mails', { parts: [one], tables: [EFFECTS] })
    await world.start([], { build, log })
    world.runtime.events.subscribe({ listener: (one) => told.push(JSON.stringify(one)) })
    await world.runtime.publish(Mail.of({ id: 'a', to: SECRET }))
    await world.runtime.idle()
    await world.pass(1_000)

    const [id = ''] = await letterIds(world)
    const letter = await world.runtime.deadLetter(id)
    const message = await world.runtime.message(letter?.messageId ?? '')
    expect(letter?.errorMessage).toContain('no such user')
    expect(told.length).toBeGreaterThan(2)
    expect(JSON.stringify([letter, message, told, world.sent])).not.toContain('secret')
  })

  it('of data that could not be lifted names no personal data either (F57)', async () => {
    const world = createWorld()
    const V1 = jsonSchema<{ id: string; to: string }>({ type: 'object' })
    const versions = { 1: V1 }
    const Old = event('mails.wanted', { owner: owners, key: 'id', pii: ['to'], versions })
    const New = event('mails.wanted', {
      owner: owners,
      key: 'id',
      pii: ['to'],
      versions: {
        ...versions,
        2: jsonSchema<{ id: string; to: string; at: string }>({ type: 'object' }),
      },
      upcast: {
        1: (old: { id: string; to: string }) => {
          throw new Error(`cannot lift ${old.to}`)
        },
      },
    })
    const reader = consumer('reader', { ...policy, on: New, handle: () => Promise.resolve() })
    const first = await world.start([], { build: () => integration('mails', { parts: [Old] }) })
    await first.publish(Old.of({ id: 'a', to: 'jane@secret.example' }))
    await first.close()
    await world.start([], { build: () => integration('mails', { parts: [reader] }) })
    await world.runtime.idle()

    const { items } = await world.runtime.deadLetters({})
    expect(items).toMatchObject([{ errorName: 'JUNCTURA_DATA_UNREADABLE' }])
    expect(items[0]?.errorMessage).toContain('upcaster threw')
    expect(JSON.stringify(items)).not.toContain('secret')
  })

  it('tried again runs first, and its parked successors follow in order (M15)', async () => {
    const world = createWorld()
    const { one, mend } = brittle('one', ({ n }) => n === 0)
    await world.start([one])
    await world.publish(...numbers(200))
    await world.runtime.idle()
    mend()
    const [id = ''] = await letterIds(world)

    await world.operate({ kind: 'dead-letter.retry', ids: [id] })
    await world.publish({ key: 'a', n: 200 })
    await world.runtime.idle()

    expect(await world.effects()).toEqual(numbers(201).map(({ n }) => `a:${n}`))
    expect(await world.runtime.deadLetter(id)).toMatchObject({ state: 'resolved' })
    expect((await world.runtime.consumers())[0]).toMatchObject({ parked: 0, deadLettersOpen: 0 })
  })

  it('that fails again stays one dead letter, and keeps its successors parked', async () => {
    const world = createWorld()
    const { one } = brittle('one', ({ n }) => n === 0)
    await world.start([one])
    await world.publish(...numbers(3))
    await world.runtime.idle()
    const ids = await letterIds(world)

    await world.operate({ kind: 'dead-letter.retry', ids })
    await world.runtime.idle()

    expect(await letterIds(world)).toEqual(ids)
    expect(await world.runtime.deadLetter(ids[0] ?? '')).toMatchObject({
      successors: 2,
      state: 'open',
    })
    expect((await world.runtime.consumers())[0]).toMatchObject({ deadLettersOpen: 1, parked: 1 })
  })

  it('dropped lets its successors go on without it', async () => {
    const world = createWorld()
    const { one } = brittle('one', ({ n }) => n === 0)
    await world.start([one])
    await world.publish(...numbers(3))
    await world.runtime.idle()
    const [id = ''] = await letterIds(world)

    await world.operate({ kind: 'dead-letter.drop', ids: [id] })
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:1', 'a:2'])
    expect(await world.runtime.deadLetter(id)).toMatchObject({
      state: 'dropped',
      resolvedBy: 'tester',
    })
    const [message] = (await world.runtime.messages({ status: 'dropped' })).items
    expect(message).toMatchObject({ key: 'a', position: 1 })
  })

  it('dropped while nobody runs its consumer parks nothing when that comes back', async () => {
    const world = createWorld()
    const { one } = brittle('one', ({ n }) => n === 0)
    await world.start([one])
    await world.publish(...numbers(3))
    await world.runtime.idle()
    const ids = await letterIds(world)
    await world.runtime.close()
    const others = ['consumer/one']
    const two = placedConsumer('two', {}, () => Promise.resolve())
    await world.start([two], { leases: leasesOf(others) })

    // A worker with another version has the key in its memory.
    const drop = { kind: 'dead-letter.drop', ids } as const
    await expect(world.operate(drop)).rejects.toMatchObject({ code: 'JUNCTURA_OPERATION_REFUSED' })
    others.length = 0
    await world.operate(drop)
    await world.runtime.close()

    await world.start([one])
    await world.runtime.idle()
    expect(await world.effects()).toEqual(['a:1', 'a:2'])
  })

  it('of a consumer that skips can be tried again, also after a crash in between (F67)', async () => {
    const world = createWorld()
    const { one, mend } = brittle('one', ({ n }) => n === 0, { afterDeadLetter: 'skip' })
    await world.start([one])
    await world.publish(...numbers(3))
    await world.runtime.idle()
    const ids = await letterIds(world)
    await world.operate({ kind: 'consumer.pause', name: 'one' })
    await world.operate({ kind: 'dead-letter.retry', ids })
    await expect(world.operate({ kind: 'dead-letter.retry', ids })).rejects.toMatchObject({
      code: 'JUNCTURA_OPERATION_REFUSED',
    })

    world.crash()
    mend()
    await world.start([one])
    expect((await world.runtime.consumers())[0]).toMatchObject({ mode: 'paused' })
    await world.operate({ kind: 'consumer.resume', name: 'one' })
    await world.runtime.idle()

    expect(await world.effects()).toEqual(['a:1', 'a:2', 'a:0'])
    expect(await letterIds(world)).toEqual([])
  })

  it('of a consumer with replay never is not tried again, whatever is asked', async () => {
    const world = createWorld()
    const { one } = brittle('one', () => true, { replay: 'never' })
    await world.start([one])
    await world.publish({ key: 'a', n: 0 })
    await world.runtime.idle()
    const ids = await letterIds(world)

    await expect(world.operate({ kind: 'dead-letter.retry', ids })).rejects.toThrow('never')
    await expect(
      world.operate({ kind: 'replay.plan', filter: { consumer: 'one' } }),
    ).rejects.toThrow('never')
    expect(await letterIds(world)).toEqual(ids)
  })

  it('is tried once by a retry of its cause, though it dies again at once: no endless round', async () => {
    const world = createWorld()
    let runs = 0
    const one = placedConsumer('one', { ...quick, afterDeadLetter: 'skip' }, async () => {
      runs += 1
      throw new Error('for ever')
    })
    await world.start([one])
    await world.publish(...numbers(700))
    await world.runtime.idle()
    const [group] = await world.runtime.deadLetterGroups()

    await world.operate({ kind: 'dead-letter.retry', cause: group?.cause ?? '' })
    await world.runtime.idle()

    expect(runs).toBe(1_400)
    expect((await world.runtime.overview()).deadLettersOpen).toBe(700)
  })
})

describe('an operation', () => {
  it('is done once per id, also when it is asked for twice at the same moment', async () => {
    const world = createWorld()
    let runs = 0
    const one = placedConsumer('one', { ...quick }, async () => {
      runs += 1
      throw new Error('bad')
    })
    await world.start([one])
    await world.publish({ key: 'a', n: 0 })
    await world.runtime.idle()
    const ids = await letterIds(world)
    const command = { kind: 'dead-letter.retry', ids } as const

    const [first, second] = await Promise.all([
      world.operate(command, 'op-1'),
      world.operate(command, 'op-1'),
    ])
    await world.runtime.idle()
    const third = await world.operate(command, 'op-1')
    await world.runtime.idle()

    expect([first.repeated, second.repeated, third.repeated]).toEqual([false, true, true])
    expect(third.result).toEqual(first.result)
    expect(runs).toBe(2)
    expect((await world.runtime.operations({})).items).toMatchObject([
      { id: 'op-1', actor: 'tester', reason: 'a test', origin: 'test', state: 'done' },
    ])
  })

  it('that cannot be written is not done', async () => {
    const world = createWorld()
    let isFull = false
    const fault = (point: string): Promise<void> =>
      isFull && point === 'before-commit' ? Promise.reject(new Error('full')) : Promise.resolve()
    const { one } = brittle('one', ({ n }) => n === 0)
    await world.start([one], { fault })
    await world.publish(...numbers(2))
    await world.runtime.idle()
    const ids = await letterIds(world)

    isFull = true
    await expect(world.operate({ kind: 'dead-letter.drop', ids })).rejects.toMatchObject({
      code: 'JUNCTURA_STORE_FAILED',
    })
    isFull = false
    await world.pass(2_000)

    expect(await letterIds(world)).toEqual(ids)
    expect(await world.effects()).toEqual([])
  })

  it('without an actor or a reason is refused', async () => {
    const world = createWorld()
    await world.start([])
    const command = { kind: 'consumer.pause', name: 'x' } as const
    const by = { actor: ' ', reason: 'r', origin: 'o' }
    await expect(world.runtime.operate(command, by)).rejects.toThrow('actor')
    await expect(world.runtime.operate(command, { ...by, actor: 'a', reason: '' })).rejects.toThrow(
      'reason',
    )
  })

  it('that fails is journaled with its reason', async () => {
    const world = createWorld()
    await world.start([])
    await expect(
      world.operate({ kind: 'consumer.retire', name: 'nobody' }, 'op-2'),
    ).rejects.toMatchObject({
      code: 'JUNCTURA_NOT_FOUND',
    })
    expect((await world.runtime.operations({})).items).toMatchObject([
      { id: 'op-2', state: 'failed', result: { code: 'JUNCTURA_NOT_FOUND' } },
    ])
  })
})
