import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test('the example of a transport of one’s own: every order goes through the folder, in order', () => {
  const start = join(import.meta.dirname, 'start.ts')

  const { status, stdout } = spawnSync(process.execPath, [start], { encoding: 'utf8' })

  expect(stdout).toBe('printed 20 orders, found 20 in the folder\n')
  expect(status).toBe(0)
})
