import { type Kernel, messageOf } from '../kernel/index.ts'
import { type Broker, lossBetween, type RelayPlace } from '../transport/index.ts'

/** By channel. */
export type Places = readonly (readonly [channel: string, place: RelayPlace])[]

/**
 * Whether a broker has what others publish to it, as they have last seen it; false when it could
 * not be asked. Whoever publishes notices a loss as well, and publishes it again from the log.
 */
export async function stillHas(
  connect: () => Promise<Broker>,
  places: Places,
  log: Kernel['log'],
): Promise<boolean> {
  try {
    for (const [channel, known] of places) {
      // Nobody has published to it yet, and perhaps it is not there.
      if (known.incarnation === '') continue
      const now = await (await connect()).inspect(channel)
      if (lossBetween(known, now) !== undefined) return false
    }
    return true
  } catch (error) {
    log.warn({ problem: messageOf(error) }, 'the broker could not be looked at')
    return false
  }
}
