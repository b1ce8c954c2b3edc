import { formatDuration } from '../kernel/index.ts'
import type { RuntimeEvent } from '../runtime/index.ts'
import { escapeControl } from '../security/index.ts'
import { formatClock } from './human-time.ts'
import type { Colour, Paint } from './paint.ts'

/** One event as one line: time, what, who, and what for. */
export const renderEvent = (event: RuntimeEvent, paint: Paint): string => {
  const { colour, who, text } = describe(event)
  const kind = paint(colour, event.kind.padEnd(11))
  const subject = paint('bold', escapeControl(who).padEnd(14))
  return `${paint('gray', formatClock(event.atMs))} ${kind} ${subject} ${escapeControl(text.trim())}`
}

interface Line {
  readonly colour: Colour
  readonly who: string
  readonly text: string
}

function describe(event: RuntimeEvent): Line {
  switch (event.kind) {
    case 'accepted':
      return { colour: 'green', who: event.webhook, text: messageText(event) }
    case 'duplicate':
      return { colour: 'yellow', who: event.webhook, text: messageText(event) }
    case 'published':
      return { colour: 'cyan', who: '', text: messageText(event) }
    case 'refused': {
      const skew = event.skewSeconds === undefined ? '' : ` by ${event.skewSeconds}s`
      const detail = event.detail === undefined ? '' : ` (${event.detail}${skew})`
      const text = `${event.status} ${event.code}: ${event.reason}${detail}`
      return { colour: 'red', who: event.webhook, text }
    }
    case 'invalid':
      return { colour: 'red', who: event.webhook, text: `${event.reason} ${event.invalidId}` }
    case 'attempt':
      return describeAttempt(event)
    case 'retry': {
      const text = `${event.messageId} again at ${formatClock(event.dueAtMs)}`
      return { colour: 'yellow', who: event.consumer, text }
    }
    case 'dead-letter': {
      const text = `${event.deadLetterId} key=${shortKey(event.key)} cause=${event.cause}`
      return { colour: 'red', who: event.consumer, text }
    }
    case 'log':
      return { colour: 'gray', who: event.consumer, text: `${event.messageId} ${event.message}` }
    case 'alert': {
      const text = `${event.alertId} ${event.title} (${event.count})`
      return { colour: event.state === 'resolved' ? 'green' : 'magenta', who: event.state, text }
    }
    case 'operation': {
      const text = `${event.command} by ${event.actor}: ${event.state}`
      return { colour: 'blue', who: '', text }
    }
    case 'replay': {
      const text = `${event.replayId} ${event.state} ${event.released}/${event.total}`
      return { colour: 'blue', who: '', text }
    }
    default:
      return describeUnknown(event)
  }
}

/** A newer runtime may tell of more than this command knows. */
const describeUnknown = (event: unknown): Line => ({
  colour: 'gray',
  who: '',
  text: JSON.stringify(event),
})

const messageText = (event: { readonly messageId: string; type: string; key: string }): string =>
  `${event.type} key=${shortKey(event.key)} ${event.messageId}`

/** A key that was made of a body is a hash; its beginning tells it apart. */
const shortKey = (key: string): string => (key.length > 32 ? `${key.slice(0, 31)}…` : key)

function describeAttempt(event: Extract<RuntimeEvent, { kind: 'attempt' }>): Line {
  const took = formatDuration(event.durationMs)
  const error = event.error === undefined ? '' : ` ${event.error}`
  return {
    colour: event.outcome === 'done' ? 'green' : 'red',
    who: event.consumer,
    text: `${event.outcome} try=${event.attempt} in ${took} key=${shortKey(event.key)} ${event.messageId}${error}`,
  }
}
