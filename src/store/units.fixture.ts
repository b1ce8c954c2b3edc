import type { Append, Claim, Unit } from './store.ts'

export const append = (text: string, more: Partial<Append> = {}): Append => ({
  channel: 'orders',
  slot: 0,
  atMs: 1_000,
  bytes: Buffer.from(text),
  ...more,
})

export const claim = (key: string, more: Partial<Claim> = {}): Claim => ({
  scope: 'acme',
  key,
  expiresAtMs: Date.UTC(2026, 0, 8),
  append: 0,
  ...more,
})

export const unitOf = (text: string, more: Partial<Unit> = {}): Unit => ({
  appends: [append(text)],
  ...more,
})

export const ORDER_EFFECTS = {
  part: 'sql',
  name: 'order-effects',
  sqlite: 'CREATE TABLE effects (seq INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT UNIQUE)',
  checksum: 'one',
  at: { file: 'drivers.fixture.ts', line: 1 },
} as const
