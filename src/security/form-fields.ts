import { decodeUtf8 } from '../kernel/index.ts'

export type FormField = readonly [name: string, value: string]

/**
 * The fields of `application/x-www-form-urlencoded` text in their order; undefined when there are
 * more than `fieldsMax`, or a percent sign encodes nothing that is UTF-8.
 *
 * @see the URL Standard, section 5.1
 */
export const readForm = (text: string, fieldsMax: number): readonly FormField[] | undefined => {
  if (text === '') return []
  const parts = text.split('&', fieldsMax + 1)
  if (parts.length > fieldsMax) return undefined
  const fields: FormField[] = []
  for (const part of parts) {
    if (part === '') continue
    const at = part.indexOf('=')
    const name = decode(at < 0 ? part : part.slice(0, at))
    const value = at < 0 ? '' : decode(part.slice(at + 1))
    if (name === undefined || value === undefined) return undefined
    fields.push([name, value])
  }
  return fields
}

/** As `readForm`, of bytes. */
export const readFormBytes = (
  bytes: Uint8Array,
  fieldsMax: number,
): readonly FormField[] | undefined => {
  const text = decodeUtf8(bytes)
  return text === undefined ? undefined : readForm(text, fieldsMax)
}

/**
 * A form as the JSON text of one object: a name that came more than once has a list of its values.
 * Undefined when it is no form.
 */
export const formToJson = (bytes: Uint8Array, fieldsMax: number): string | undefined => {
  const fields = readFormBytes(bytes, fieldsMax)
  if (!fields) return undefined
  const members = new Map<string, string[]>()
  for (const [name, value] of fields) {
    const known = members.get(name)
    if (known) known.push(value)
    else members.set(name, [value])
  }
  const texts = [...members].map(([name, values]) => {
    const value = values.length === 1 ? values[0] : values
    return `${JSON.stringify(name)}:${JSON.stringify(value)}`
  })
  return `{${texts.join(',')}}`
}

/** The members of a plain object as a form; undefined when one is not text, number or boolean. */
export const toForm = (value: unknown): string | undefined => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const parts: string[] = []
  for (const [name, member] of Object.entries(value)) {
    for (const each of Array.isArray(member) ? member : [member]) {
      if (!['string', 'number', 'boolean'].includes(typeof each)) return undefined
      parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(String(each))}`)
    }
  }
  return parts.join('&')
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // A percent sign that encodes nothing, or no UTF-8.
    return undefined
  }
}
