import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { escapeControl } from './escape-control.ts'

test.each([
  ['a forged line', 'ok\r\n2026-01-01 admin logged in', 'ok\\r\\n2026-01-01 admin logged in'],
  ['a tab and a NUL', 'a\tb\u0000', 'a\\tb\\x00'],
  ['an ANSI escape', '\u001b[2J\u009b31m', '\\x1b[2J\\x9b31m'],
  ['reordering', 'abc\u202etxt.exe', 'abc\\u202etxt.exe'],
  ['a line separator', 'a\u2028b', 'a\\u2028b'],
  ['an invisible space', 'ad\u200bmin', 'ad\\u200bmin'],
  ['half a character', 'a\ud800b', 'a\\ud800b'],
])('shows %s (F56)', (_, text, expected) => {
  expect(escapeControl(text)).toBe(expected)
})

test('leaves ordinary text of any language as it is', () => {
  for (const text of ['', 'Zoë 🦊 日本語 عربى', 'a\\nb', '<b>&amp;</b>']) {
    expect(escapeControl(text)).toBe(text)
  }
})

test('no control character is left of anything', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(escapeControl(text)).not.toMatch(/\p{Cc}|\p{Zl}|\p{Zp}|\p{Cs}/u)
    }),
  )
})
