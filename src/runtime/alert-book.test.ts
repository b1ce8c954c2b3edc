import { describe, expect, it } from 'vitest'
import { type AlertRow, createMemoryStore, type Store } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createAlertBook, type RaisedAlert } from './alert-book.ts'

const conflict = (atMs: number): RaisedAlert => ({
  kind: 'conflict',
  cause: 'conflict:partner',
  title: 'a partner sends two bodies under one id',
  owner: undefined,
  target: { kind: 'log' },
  severity: 'warning',
  atMs,
})

const stored = async (store: Store): Promise<readonly AlertRow[]> =>
  (await store.scan({ collection: 'alerts', limit: 9 })).map(({ row }) => row)

describe('alerts of processes that share a store', () => {
  it('that two opened for one cause at once become one, with the count of both and the notification that it owes', async () => {
    const kernel = createVirtualKernel()
    const memory = createMemoryStore({ clock: kernel.clock })
    const features = { ...memory.features, multiProcess: true }
    const store: Store = Object.assign(memory, { features })
    const open = (tellsAll: boolean) =>
      createAlertBook({ store, kernel, tellsAll: () => tellsAll, onChange: () => undefined })
    const [one, other] = [open(false), open(false)]
    for (const book of [one, other]) {
      await store.commit([{ rows: book.raise(conflict(kernel.clock.now())) }])
    }
    expect(await stored(store)).toHaveLength(2)

    // Those that opened them die; whoever has the duties tidies.
    const duties = open(true)
    await duties.load()
    await kernel.clock.advance(31_000)
    await store.commit([{ rows: await duties.reconcile() }])

    expect(await stored(store)).toMatchObject([{ count: 2, state: 'open', owed: ['opened'] }])
    expect(duties.owing().map(({ id }) => id)).toEqual((await stored(store)).map(({ id }) => id))
    await store.commit([{ rows: duties.resolve('conflict:partner') }])
    expect(await stored(store)).toMatchObject([{ state: 'resolved' }])
    await store.commit([{ rows: await duties.reconcile() }])
    expect(await stored(store)).toHaveLength(1)
  })

  it('that one resolved is told of by the one that resolved it', async () => {
    const kernel = createVirtualKernel()
    const memory = createMemoryStore({ clock: kernel.clock })
    const features = { ...memory.features, multiProcess: true }
    const store: Store = Object.assign(memory, { features })
    const open = () =>
      createAlertBook({ store, kernel, tellsAll: () => false, onChange: () => undefined })
    const raised = open()
    await store.commit([{ rows: raised.raise(conflict(kernel.clock.now())) }])
    const [{ id } = { id: '' }] = await stored(store)
    await store.commit([{ rows: raised.delivered(id, 'opened') }])

    // The one that raised it has died since.
    const resolving = open()
    await resolving.load()
    await store.commit([{ rows: resolving.resolve('conflict:partner') }])

    expect(resolving.owing()).toMatchObject([{ id, state: 'resolved', owed: ['resolved'] }])
  })
})
