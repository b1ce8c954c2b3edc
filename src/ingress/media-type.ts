export type MediaType =
  | { readonly kind: 'taken'; readonly mediaType: string }
  | { readonly kind: 'refused' }

const REFUSED: MediaType = { kind: 'refused' }

/** Type, subtype, and what follows; tokens as in RFC 9110 section 5.6.2. */
const MEDIA_TYPE = /^\s*([\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+)\s*((?:;[^;]*)*)$/
const CHARSET = /^\s*charset\s*=\s*"?([\w-]+)"?\s*$/i

/**
 * Whether a Content-Type is one of those taken. Text in another charset than UTF-8 is refused: the
 * bytes are what is signed and stored, so nothing is ever converted (F51).
 */
export const readMediaType = (
  value: string | readonly string[] | undefined,
  taken: readonly string[],
): MediaType => {
  if (typeof value !== 'string') return REFUSED
  const match = MEDIA_TYPE.exec(value)
  if (!match) return REFUSED
  const mediaType = (match[1] ?? '').toLowerCase()
  if (!taken.includes(mediaType)) return REFUSED
  for (const parameter of (match[2] ?? '').split(';')) {
    const charset = CHARSET.exec(parameter)?.[1]?.toLowerCase()
    if (charset !== undefined && charset !== 'utf-8' && charset !== 'us-ascii') return REFUSED
  }
  return { kind: 'taken', mediaType }
}
