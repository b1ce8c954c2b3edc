import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const css = readFileSync(new URL('./page/page.css', import.meta.url), 'utf8')

/** The colours of a scheme by name; the dark scheme is the second set. */
function paletteOf(scheme: 'light' | 'dark'): ReadonlyMap<string, string> {
  const sets = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, body]) => body ?? '')
  const body = sets[scheme === 'light' ? 0 : 1] ?? ''
  return new Map(
    [...body.matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map(([, name, hex]) => [
      name ?? '',
      hex ?? '',
    ]),
  )
}

/** Relative luminance. @see WCAG 2.2, "relative luminance" */
function luminanceOf(hex: string): number {
  const channels = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
  const [red = 0, green = 0, blue = 0] = channels.map((value) =>
    value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4,
  )
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function contrastOf(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminanceOf(one), luminanceOf(other)].sort((a, b) => b - a)
  return (light + 0.05) / (dark + 0.05)
}

/** Every pair of text and ground that the page uses. */
const PAIRS: readonly (readonly [text: string, grounds: readonly string[]])[] = [
  ['ink', ['paper', 'card', 'plain-wash', 'good-wash', 'warn-wash', 'bad-wash']],
  ['quiet', ['paper', 'card', 'plain-wash', 'good-wash', 'warn-wash', 'bad-wash']],
  ['accent', ['paper', 'card']],
  ['card', ['accent']],
  ['good', ['card', 'good-wash']],
  ['warn', ['card', 'warn-wash']],
  ['bad', ['card', 'bad-wash']],
]

describe('the colours of the page', () => {
  it.each(['light', 'dark'] as const)('have the contrast of WCAG AA, in %s', (scheme) => {
    const palette = paletteOf(scheme)
    const weak = PAIRS.flatMap(([text, grounds]) =>
      grounds.flatMap((ground) => {
        const contrast = contrastOf(palette.get(text) ?? '', palette.get(ground) ?? '')
        return contrast >= 4.5 ? [] : [`${text} on ${ground}: ${contrast.toFixed(2)}`]
      }),
    )
    expect(palette.size).toBeGreaterThan(10)
    expect(weak).toEqual([])
  })
})
