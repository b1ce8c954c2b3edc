import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test('the outbox example: one invoice for each order that was placed', () => {
  const start = join(import.meta.dirname, 'start.ts')

  const { status, stdout } = spawnSync(process.execPath, [start], { encoding: 'utf8' })

  expect(stdout).toBe('A-1 4200\nA-2 100\nA-3 700\n')
  expect(status).toBe(0)
})
