import { describe, expect, it } from 'vitest'
import { createWorld } from './world.fixture.ts'

describe('the overview', () => {
  it('says what each engine orders by (M9)', async () => {
    const world = createWorld()
    await world.start([])

    const { store } = await world.runtime.overview()

    expect(store).toMatchObject({ engine: 'memory', unitOfOrder: 'key' })
  })
})
