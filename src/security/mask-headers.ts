import { MASK } from './mask.ts'

// Credentials by their usual names; everything else that sounds like one is masked too.
const CREDENTIAL =
  /^(?:proxy-)?authorization$|^(?:set-)?cookie2?$|signature|secret|token|password|passwd|credential|api-?key|auth-?key|session|jwt/i

/** A copy with the values of credentials masked: tokens, cookies, signatures, keys. */
export const maskHeaders = <Value extends string | readonly string[] | undefined>(
  headers: Readonly<Record<string, Value>>,
): Readonly<Record<string, Value | string>> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      isCredentialHeader(name) && value !== undefined ? MASK : value,
    ]),
  )

/** Whether a header's value must not be shown. */
const isCredentialHeader = (name: string): boolean => CREDENTIAL.test(name)
