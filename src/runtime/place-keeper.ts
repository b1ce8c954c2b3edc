import { type Clock, LIMITS, type Logger, messageOf, type Timer } from '../kernel/index.ts'
import type { RowWrite } from '../store/index.ts'
import type { RelayPlace } from '../transport/index.ts'

type Places = ReadonlyMap<string, RelayPlace>

/** Key in `meta` of how far a channel is published to a broker. */
export const placeKey = (name: string, channel: string): string => `relay/${name}/${channel}`

/** Keeps the places of the relays of one broker, where they have changed. */
export interface PlaceKeeper {
  keep(): Promise<void>
  /** Soon, with what has moved until then. */
  keepLater(): void
  /** The last place of a channel that is published elsewhere from now on. */
  leave(channel: string, place: RelayPlace): Promise<void>
}

export const createPlaceKeeper = (options: {
  readonly name: string
  readonly kernel: { readonly clock: Clock; readonly log: Logger }
  readonly places: () => Places
  /** Undefined while nothing can be written yet. */
  readonly write: () => ((rows: readonly RowWrite[]) => Promise<void>) | undefined
}): PlaceKeeper => {
  const { name, kernel, places } = options
  /** As text, by channel. */
  const kept = new Map<string, string>()
  let timer: Timer | undefined

  const keepThose = async (these: Places): Promise<void> => {
    const write = options.write()
    const changed = [...these].filter(([channel, value]) => kept.get(channel) !== textOf(value))
    if (!write || changed.length === 0) return
    for (const [channel, value] of changed) kept.set(channel, textOf(value))
    try {
      await write(
        changed.map(([channel, value]) => ({
          collection: 'meta',
          key: placeKey(name, channel),
          row: { value },
        })),
      )
    } catch (error) {
      for (const [channel] of changed) kept.delete(channel)
      throw error
    }
  }

  const keep = async (): Promise<void> => {
    timer?.cancel()
    timer = undefined
    await keepThose(places())
  }

  return {
    keep,
    keepLater() {
      timer ??= kernel.clock.setTimer(LIMITS.relayPlaceMs, () => {
        keep().catch((error: unknown) => {
          // Then more is published again after a start.
          kernel.log.warn(
            { problem: messageOf(error) },
            'the places of the relays could not be kept',
          )
        })
      })
    },
    async leave(channel, place) {
      await keepThose(new Map([[channel, place]]))
      // Another process writes it from now on.
      kept.delete(channel)
    },
  }
}

const textOf = (place: RelayPlace): string => JSON.stringify(place)
