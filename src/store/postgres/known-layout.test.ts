import { describe, expect, it } from 'vitest'
import { createKnownLayout } from './known-layout.ts'

const LINE = { name: '', sql: `''::text`, check: () => undefined }
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
})
