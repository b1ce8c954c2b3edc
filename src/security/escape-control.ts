// Controls of ASCII and Latin-1 (line breaks, ANSI escapes, NUL), line and paragraph separator,
// marks that reorder text on a screen, invisible characters, byte order mark, lone surrogates.
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- these are what it is for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Cs}/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * Text from outside made safe for one line of a log or a terminal: what would break the line, move
 * the cursor or reorder what is read becomes its visible escape (F56).
 */
export const escapeControl = (text: string): string =>
  text.replace(UNSAFE, (character) => SHORT[character] ?? escapeOne(character))

function escapeOne(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return code <= 0xff
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}
