import { crc32 } from 'node:zlib'
import { createSeededRandom, type Random } from '../../kernel/index.ts'

/** One independent stream per name: a draw added in one component does not move the others. */
export type RandomStreams = (name: string) => Random

export const createRandomStreams = (seed: number): RandomStreams => {
  const streams = new Map<string, Random>()
  return (name) => {
    let stream = streams.get(name)
    if (!stream) {
      stream = createSeededRandom(crc32(`${seed}/${name}`) + (seed % 65_536) * 2 ** 32)
      streams.set(name, stream)
    }
    return stream
  }
}
