import { type Clock, JuncturaError, LIMITS } from '../kernel/index.ts'
import type { FetchCertificate } from '../security/index.ts'
import type { HttpDial } from './http-dial.ts'

export interface CertificateFetcherOptions {
  readonly dial: HttpDial
  readonly clock: Pick<Clock, 'setTimer'>
}

const NOTHING = new Uint8Array(0)

/**
 * Gets certificates over HTTPS: one GET, no redirect, a deadline that includes the body, and a cap
 * on it. Which URL may be asked is decided before.
 *
 * @throws JUNCTURA_UNREACHABLE when the answer is not 200, or does not come in time.
 */
export const createCertificateFetcher =
  ({ dial, clock }: CertificateFetcherOptions): FetchCertificate =>
  async (url) => {
    const deadline = new AbortController()
    const timer = clock.setTimer(LIMITS.certificateFetchMs, () => deadline.abort())
    try {
      const reply = await dial({
        method: 'GET',
        url,
        headers: { accept: 'application/x-pem-file, text/plain, */*', connection: 'close' },
        body: NOTHING,
        answerBytesMax: LIMITS.certificateBytesMax,
        signal: deadline.signal,
      })
      if (reply.status === 200) return reply.body
      throw new JuncturaError('JUNCTURA_UNREACHABLE', {
        details: { url, problem: `the answer was ${reply.status}` },
      })
    } finally {
      timer.cancel()
    }
  }
