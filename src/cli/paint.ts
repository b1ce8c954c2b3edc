import { styleText } from 'node:util'
import type { TextSink } from './cli-io.ts'

export type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'cyan' | 'magenta' | 'gray' | 'bold'

/** Colours a text, or leaves it as it is. */
export type Paint = (colour: Colour, text: string) => string

/**
 * Colours only on a terminal, and not where `NO_COLOR` or `TERM=dumb` asks for none;
 * `FORCE_COLOR` asks for them in a pipe too.
 *
 * @see no-color.org: any value but the empty one counts
 */
export const createPaint = (sink: TextSink, env: (name: string) => string | undefined): Paint => {
  const set = (name: string): boolean => (env(name) ?? '') !== ''
  const forced = set('FORCE_COLOR') && env('FORCE_COLOR') !== '0'
  const wanted = forced || (sink.isTerminal && env('TERM') !== 'dumb')
  if (!wanted || set('NO_COLOR')) return plain
  // The decision is made here; node:util would look at this process's own stdout.
  return (colour, text) => styleText(colour, text, { validateStream: false })
}

export const plain: Paint = (_colour, text) => text
