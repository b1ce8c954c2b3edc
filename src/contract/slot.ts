import { crc32 } from 'node:zlib'

/**
 * Slots of a channel. A key always falls into the same slot; scaling moves slots between workers
 * or broker partitions, never keys between slots.
 */
export const SLOT_COUNT = 64

export const slotOf = (tenant: string, key: string): number =>
  crc32(tenant === 'default' ? key : `${tenant}\n${key}`) % SLOT_COUNT
