import { describe, expect, it } from 'vitest'
import { event, type Integration, integration, jsonSchema, team } from '../contract/index.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from '../store/index.ts'
import { createVirtualKernel } from '../testing/index.ts'
import { createRuntime } from './index.ts'

const owner = team('owners')

const shop = (
  statuses: readonly string[],
  options: { readonly compatibility?: 'none' | 'backward' } = {},
): Integration =>
  integration('shop', {
    parts: [
      event('shop.moved', {
        owner,
        ...options,
        versions: {
          1: jsonSchema<{ status: string }>({
            type: 'object',
            required: ['status'],
            properties: { status: { type: 'string', enum: statuses } },
          }),
        },
      }),
    ],
  })

const startOn = async (disk: MemoryDisk, built: Integration): Promise<void> => {
  const kernel = createVirtualKernel()
  const { clock, random } = kernel
  const runtime = await createRuntime(built, {
    kernel,
    store: createMemoryStore({ clock, random, disk }),
  })
  await runtime.close()
}

describe('a contract version that has run', () => {
  it('may be widened', async () => {
    const disk = createMemoryDisk()
    await startOn(disk, shop(['placed']))

    await expect(startOn(disk, shop(['placed', 'paid']))).resolves.toBeUndefined()
  })

  it('is refused when a meaning is taken out of it, with the path and the fix (F182)', async () => {
    const disk = createMemoryDisk()
    await startOn(disk, shop(['placed', 'paid']))

    await expect(startOn(disk, shop(['placed']))).rejects.toThrow(
      /shop\.moved.*version 1 has run here with another schema[\s\S]*status[\s\S]*declare version 2/,
    )
    // Nothing was recorded of the refused start: the version that ran still starts.
    await expect(startOn(disk, shop(['placed', 'paid']))).resolves.toBeUndefined()
  })

  it('may change in any way where the contract asks for nothing', async () => {
    const disk = createMemoryDisk()
    await startOn(disk, shop(['placed', 'paid']))

    await expect(
      startOn(disk, shop(['placed'], { compatibility: 'none' })),
    ).resolves.toBeUndefined()
  })
})
