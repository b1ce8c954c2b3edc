/** Where tokens of JSON text end. Each returns -1 when there is no such token at `at`. */

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const LITERALS = ['true', 'false', 'null'] as const

/** The offset after spaces, tabs and line ends. */
export const skipSpace = (text: string, at: number): number => {
  let i = at
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break
  }
  return i
}

/** The end of the string that opens at `at`, or `-1 - offset` of the character that spoils it. */
export const endOfString = (text: string, at: number): number => {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) return i + 1
    if (code < 0x20) return -1 - i
    if (code !== 0x5c) continue
    i++
    if (text[i] === 'u') {
      if (!/^[0-9a-fA-F]{4}$/.test(text.slice(i + 1, i + 5))) return -1 - i
      i += 4
    } else if (i >= text.length || !'"\\/bfnrt'.includes(text.charAt(i))) return -1 - i
  }
  return -1 - text.length
}

/** The end of the number or literal that begins at `at`, or -1. */
export const endOfPlain = (text: string, at: number): number => {
  const literal = LITERALS.find((word) => text.startsWith(word, at))
  if (literal !== undefined) return at + literal.length
  NUMBER.lastIndex = at
  return NUMBER.test(text) ? NUMBER.lastIndex : -1
}
