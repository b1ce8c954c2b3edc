import { expect, test } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { createCertificateFetcher } from './certificate-fetcher.ts'
import type { HttpCall, HttpReply } from './http-dial.ts'

const URL_OF_ONE = 'https://api.paypal.com/v1/notifications/certs/CERT-1'

function openFetcher(status: number) {
  const calls: HttpCall[] = []
  const timers: { readonly ms: number; isCancelled: boolean; run(): void }[] = []
  const fetch = createCertificateFetcher({
    dial: (call) => {
      calls.push(call)
      const reply: HttpReply = { status, headers: {}, body: Uint8Array.of(1), isCut: false }
      return Promise.resolve(reply)
    },
    clock: {
      setTimer: (ms, run) => {
        const timer = { ms, isCancelled: false, run }
        timers.push(timer)
        return { cancel: () => void (timer.isCancelled = true) }
      },
    },
  })
  return { fetch, calls, timers }
}

test('is one GET with a deadline and a cap', async () => {
  const { fetch, calls, timers } = openFetcher(200)

  expect(await fetch(URL_OF_ONE)).toEqual(Uint8Array.of(1))
  expect(calls).toMatchObject([
    { method: 'GET', url: URL_OF_ONE, answerBytesMax: LIMITS.certificateBytesMax },
  ])
  expect(timers).toMatchObject([{ ms: LIMITS.certificateFetchMs, isCancelled: true }])
  timers[0]?.run()
  expect(calls[0]?.signal.aborted).toBe(true)
})

test.each([204, 302, 404, 500])('an answer of %i is no certificate', async (status) => {
  const { fetch } = openFetcher(status)

  await expect(fetch(URL_OF_ONE)).rejects.toMatchObject({ code: 'JUNCTURA_UNREACHABLE' })
})
