import { LIMITS } from '../kernel/index.ts'

export interface ServerSentEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: string
}

/** Room for one event of the stream: a line of our own is far shorter. */
const EVENT_CHARS_MAX = LIMITS.logLineCharsMax * 4

/**
 * Events of a stream as its bytes come, in whatever pieces. An event that is cut off at the end is
 * left out, as the standard says; a comment is how a server shows that it is there.
 *
 * @see WHATWG HTML, section 9.2.6, "Interpreting an event stream"
 */
export async function* readServerSentEvents(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    rest = (rest + decoder.decode(chunk, { stream: true })).replaceAll('\r\n', '\n')
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = readBlock(rest.slice(0, end))
      rest = rest.slice(end + 2)
      if (event) yield event
    }
    // Not a stream of ours, and never to be kept whole.
    if (rest.length > EVENT_CHARS_MAX) rest = ''
  }
}

function readBlock(block: string): ServerSentEvent | undefined {
  let id: string | undefined
  let event = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon === 0) continue
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'id') id = value
    else if (name === 'event') event = value
    else if (name === 'data') data.push(value)
  }
  return data.length === 0 ? undefined : { id, event, data: data.join('\n') }
}
