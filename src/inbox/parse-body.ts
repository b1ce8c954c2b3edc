import { LIMITS, utf8 } from '../kernel/index.ts'
import { type ParsedJson, parseJson } from '../schema/index.ts'
import { formToJson } from '../security/index.ts'

/** Media type of a form, which is read as a JSON object of its fields. */
export const FORM = 'application/x-www-form-urlencoded'

/**
 * What is in a body. A form is one object: each field is text, and a field that came more than once
 * a list of texts. The bytes are kept as they came.
 */
export const parseBody = (raw: Uint8Array, mediaType: string | undefined): ParsedJson => {
  if (mediaType !== FORM) return parseJson(raw)
  const json = formToJson(raw, LIMITS.formFieldsMax)
  if (json !== undefined) return parseJson(utf8(json))
  const detail = `The body is no form of at most ${LIMITS.formFieldsMax} fields in UTF-8.`
  return { ok: false, reason: 'syntax', detail }
}
