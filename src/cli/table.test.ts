import { describe, expect, it } from 'vitest'
import { createPaint, plain } from './paint.ts'
import { renderFacts, renderTable } from './table.ts'

const sink = (isTerminal: boolean) => ({
  isTerminal,
  columns: 80,
  isBroken: false,
  write: () => undefined,
})

describe('a table', () => {
  it('F56: shows control characters of others instead of obeying them', () => {
    const text = renderTable(
      [{ title: 'KEY', cell: (row: string) => row }],
      ['a\u001b[2Jb', 'line\nbreak', '\u202eabc'],
      { paint: plain },
    )

    expect(text.split('\n')).toEqual(['KEY', 'a\\x1b[2Jb', 'line\\nbreak', '\\u202eabc'])
  })

  it('takes width only from the column that may shrink, and marks what is cut', () => {
    const columns = [
      { title: 'ID', cell: (row: { id: string }) => row.id },
      { title: 'WHAT', shrinks: true, cell: () => 'a long sentence that does not fit' },
    ]
    const text = renderTable(columns, [{ id: 'dead_0123456789' }], { paint: plain, columns: 40 })

    const [, row = ''] = text.split('\n')
    expect(row).toBe('dead_0123456789  a long sentence that d…')
    expect(row.length).toBe(40)
  })

  it('cuts nothing where there is no terminal', () => {
    const columns = [{ title: 'X', shrinks: true, cell: () => 'x'.repeat(500) }]

    expect(renderTable(columns, [1], { paint: plain })).toContain('x'.repeat(500))
  })

  it('aligns numbers to the right and shows what is missing as a dash', () => {
    const columns = [
      { title: 'LAG', align: 'right' as const, cell: (row: number | null) => row },
      { title: 'B', cell: () => undefined },
    ]

    expect(renderTable(columns, [5, 1200, null], { paint: plain }).split('\n')).toEqual([
      ' LAG  B',
      '   5  -',
      '1200  -',
      '   -  -',
    ])
  })

  it('leaves facts out that are not known', () => {
    expect(
      renderFacts(
        [
          ['a', 1],
          ['long', undefined],
          ['b', null],
        ],
        plain,
      ),
    ).toBe('a  1')
  })
})

describe('colours', () => {
  it('appear on a terminal only, and not where NO_COLOR or a dumb terminal asks for none', () => {
    const red = (isTerminal: boolean, env: Record<string, string>): string =>
      createPaint(sink(isTerminal), (name) => env[name])('red', 'x')

    expect(red(true, {})).toBe('\u001b[31mx\u001b[39m')
    expect(red(true, { NO_COLOR: '' })).toBe('\u001b[31mx\u001b[39m')
    expect(red(false, { FORCE_COLOR: '1' })).toBe('\u001b[31mx\u001b[39m')
    expect(red(false, {})).toBe('x')
    expect(red(true, { NO_COLOR: '1' })).toBe('x')
    expect(red(true, { TERM: 'dumb' })).toBe('x')
    expect(red(false, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe('x')
  })
})
