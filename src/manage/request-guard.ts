import { JuncturaError } from '../kernel/index.ts'
import { checkBearerToken, hashToken } from '../security/index.ts'
import type { RequestFields } from './request-fields.ts'

export interface RequestGuard {
  readonly requiresToken: boolean
  isAuthorized(fields: RequestFields): boolean
  /** @throws JUNCTURA_HOST_REFUSED when the request did not mean this machine. */
  checkHost(fields: RequestFields): void
  /** @throws JUNCTURA_ORIGIN_REFUSED when a page of another origin sent it. */
  checkOrigin(fields: RequestFields): void
}

/** Below it a token can be guessed over a network. */
const TOKEN_CHARS_MIN = 8

/**
 * Who may talk to the management API. Without a token the machine's own people may, so the only
 * strangers are web pages that their browsers run: a name that was bound to 127.0.0.1 (DNS
 * rebinding) shows in Host, a foreign page in Origin or Sec-Fetch-Site (F144). With a token the
 * token decides; browsers never send it by themselves.
 *
 * @throws JUNCTURA_SECRET_WEAK, JUNCTURA_SECRET_INVALID when the token is no usable one.
 */
export const createRequestGuard = (token: string | undefined): RequestGuard => {
  if (token !== undefined) checkToken(token)
  const tokenHashes = token === undefined ? [] : [hashToken(token)]
  const isAuthorized = (fields: RequestFields): boolean =>
    token === undefined ||
    checkBearerToken({ authorization: fields.header('authorization'), tokenHashes }).ok
  return {
    requiresToken: token !== undefined,
    isAuthorized,
    checkHost(fields) {
      if (token === undefined && !isLoopbackAuthority(fields.header('host') ?? '')) {
        throw new JuncturaError('JUNCTURA_HOST_REFUSED')
      }
    },
    checkOrigin(fields) {
      if (isForeign(fields)) throw new JuncturaError('JUNCTURA_ORIGIN_REFUSED')
    },
  }
}

function checkToken(token: string): void {
  const source = 'the management token'
  const scheme = 'the management API'
  if (Buffer.byteLength(token) < TOKEN_CHARS_MIN) {
    throw new JuncturaError('JUNCTURA_SECRET_WEAK', {
      details: { source, scheme, bytes: Buffer.byteLength(token), bytesMin: TOKEN_CHARS_MIN },
    })
  }
  const own = checkBearerToken({
    authorization: `Bearer ${token}`,
    tokenHashes: [hashToken(token)],
  })
  if (own.ok) return
  const problem = 'it is too long, or has characters that an Authorization header cannot carry'
  throw new JuncturaError('JUNCTURA_SECRET_INVALID', { details: { source, scheme, problem } })
}

/**
 * Any port: behind a forwarded port (`ssh -L 8000:localhost:7071`) it is another one, and a page of
 * a foreign name is told by the name alone.
 */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

const isLoopbackAuthority = (host: string): boolean => LOOPBACK.test(host)

/** True for an address that only this machine reaches. */
export const isLoopbackAddress = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?|::ffff:127(\.\d{1,3}){3})$/i.test(host)

function isForeign(fields: RequestFields): boolean {
  const origin = fields.header('origin')
  const host = fields.header('host')
  if (origin !== undefined) {
    return host === undefined || !(origin === `http://${host}` || origin === `https://${host}`)
  }
  const site = fields.header('sec-fetch-site')
  // A person who opens a link in a tab reads it alone; no page gets to see it.
  if (fields.header('sec-fetch-mode') === 'navigate') return false
  return site === 'cross-site' || site === 'same-site'
}
