import { describe, expect, it } from 'vitest'
import { createKnownLayout, type Layout, type LogView } from './known-layout.ts'
import type { Session, SqlRow } from './session.ts'

const LINE = { name: '', timeline: '', sql: `''::text`, check: () => undefined }
const OPEN = { createdAtMs: 0, lastPosition: undefined, times: undefined }

describe('what a process knows of the tables', () => {
  it('reads an answer by the tables that were asked, also when newer ones became known meanwhile', () => {
    const known = createKnownLayout('junctura', () => LINE)
    const first = { id: 1, firstPosition: 1, ...OPEN }
    known.settle({ layout: { version: 1, partitions: [first], buckets: new Set() }, head: 10 })
    const look = known.prepareLook()

    const second = { id: 2, firstPosition: 11, ...OPEN }
    const partitions = [{ ...first, lastPosition: 10 }, second]
    known.settle({ layout: { version: 2, partitions, buckets: new Set() }, head: 20 })

    // The last position of the first table, by then: the end of the log is in the second.
    expect(look.seen([2, 10])).toBeUndefined()
    expect(known.prepareLook().seen([2, 20])).toMatchObject({ head: 20 })
  })

  const layoutOf = (version: number, ...ids: readonly number[]): Layout => ({
    version,
    buckets: new Set(),
    partitions: ids.map((id) => ({
      ...OPEN,
      id,
      firstPosition: 10 * (id - 1) + 1,
      lastPosition: id === ids.at(-1) ? undefined : 10 * id,
    })),
  })

  /** Answers a look, and the reading of the layout, with what there is by then. */
  const sessionOf = (now: () => LogView, arrived: () => void = () => undefined): Session => {
    const refuse = (): never => {
      throw new Error('not asked for')
    }
    return {
      rows: () => {
        const { layout, head } = now()
        return Promise.resolve([[layout.version, head, '']])
      },
      batch: () => {
        const { layout } = now()
        arrived()
        const partitions = layout.partitions.map((one): SqlRow => {
          const { id, firstPosition, createdAtMs, lastPosition } = one
          return [id, firstPosition, createdAtMs, lastPosition ?? null, null, null]
        })
        return Promise.resolve([[[layout.version]], partitions, []])
      },
      exec: refuse,
      run: refuse,
      copyOut: refuse,
      copyIn: refuse,
    }
  }

  it('looks before it gives anything once a table was found gone: without tables, all would be skipped', async () => {
    const known = createKnownLayout('junctura', () => LINE)
    known.settle({ layout: layoutOf(1, 1, 2), head: 15 })
    const after = { layout: layoutOf(2, 2), head: 15 }

    known.forget()
    const view = await known.reaching(
      3,
      sessionOf(() => after),
    )

    expect(view).toMatchObject({ head: 15, layout: { version: 2, partitions: [{ id: 2 }] } })
    expect(known.view).toEqual(view)
  })

  it('puts no older layout under a newer head when an answer comes late', async () => {
    const known = createKnownLayout('junctura', () => LINE)
    known.settle({ layout: layoutOf(1, 1), head: 5 })
    const [middle, newest] = [layoutOf(2, 1, 2), layoutOf(3, 1, 2, 3)]
    let now: LogView = { layout: middle, head: 12 }
    const seen: number[] = []
    const session = sessionOf(
      () => {
        seen.push(known.view.layout.version)
        return now
      },
      () => {
        // Before the answer is there, a commit of this process begins the next table.
        now = { layout: newest, head: 25 }
        known.settle(now)
      },
    )

    expect((await known.look(session)).layout.version).toBe(3)
    expect(seen).not.toContain(2)
    expect(known.view).toMatchObject({ head: 25, layout: { version: 3 } })
  })
})
