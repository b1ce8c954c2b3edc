import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSystemKernel } from 'junctura'
import { testBroker } from 'junctura/testing'
import { describe, expect, it } from 'vitest'
import { createFolderBroker, FOLDER_FEATURES } from './folder-broker.ts'

const { clock } = createSystemKernel()

const registered = testBroker({
  runner: {
    describe,
    // The suite asserts with node:assert, which vitest does not count.
    it: (title, body) => it(title, () => expect(body()).resolves.toBeUndefined()),
  },
  features: FOLDER_FEATURES,
  create: async () => {
    const home = mkdtempSync(join(tmpdir(), 'junctura-folder-'))
    const folder = join(home, 'mounted')
    const elsewhere = join(home, 'elsewhere')
    mkdirSync(folder)
    let isAway = false
    const stop = async (): Promise<void> => {
      renameSync(folder, elsewhere)
      isAway = true
      // Long enough for whoever looks to see it.
      await new Promise<void>((resolve) => clock.setTimer(100, resolve))
    }
    const bringBack = (): void => renameSync(elsewhere, folder)
    return {
      open: async (onState) => createFolderBroker({ folder, clock, ...(onState && { onState }) }),
      topicOf: async (channel) => channel,
      stop,
      restart: async () => {
        if (!isAway) await stop()
        bringBack()
        isAway = false
      },
      wipe: async () => {
        rmSync(folder, { recursive: true })
        mkdirSync(folder)
      },
      dispose: async () => rmSync(home, { recursive: true, force: true }),
    }
  },
})

it('runs the whole conformance suite, skipping nothing', () => {
  expect(registered).toBeGreaterThan(20)
})
