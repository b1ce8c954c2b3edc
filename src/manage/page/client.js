/** Talks to the management API: reads, and the event stream with its reconnects. */

const TOKEN_KEY = 'junctura-token'
const READ_TIMEOUT_MS = 15_000
/** Heartbeats come every 15 s; silence for longer means that nobody is there. */
const SILENCE_MS = 40_000
const RECONNECT_FIRST_MS = 1_000
const RECONNECT_MAX_MS = 10_000
/** Room for one event; ours are far shorter. */
const FRAME_CHARS_MAX = 262_144

let token = sessionStorage.getItem(TOKEN_KEY)

export const setToken = (value) => {
  token = value
  sessionStorage.setItem(TOKEN_KEY, value)
}

export class TokenNeeded extends Error {}

const headersOf = (more = {}) => ({
  ...more,
  ...(token !== null && { authorization: `Bearer ${token}` }),
})

/** The body of an answer, or undefined where there is no such thing. */
export const read = async (path) => {
  const response = await fetch(path, {
    headers: headersOf({ accept: 'application/json' }),
    redirect: 'error',
    signal: AbortSignal.timeout(READ_TIMEOUT_MS),
  })
  if (response.status === 401) throw new TokenNeeded('The listener asks for a token.')
  if (response.status === 404) return undefined
  const body = await response.json()
  if (response.ok) return body
  throw new Error([body.detail, body.fix].filter(Boolean).join(' '))
}

/**
 * Follows the event stream for good. After a break it comes back and goes on after the last event
 * it has seen; `onMissed` hears of events that are gone.
 */
export const follow = async ({ newest, onEvent, onMissed, onState }) => {
  const seen = { id: undefined, run: undefined }
  let waitMs = RECONNECT_FIRST_MS
  for (;;) {
    try {
      await readStream({ newest, seen, onEvent, onMissed }, () => {
        waitMs = RECONNECT_FIRST_MS
        onState('live')
      })
    } catch (error) {
      if (error instanceof TokenNeeded) throw error
      // Whatever broke it, the cure is the same: come back.
    }
    onState('reconnecting')
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    waitMs = Math.min(RECONNECT_MAX_MS, waitMs * 2)
  }
}

async function readStream({ newest, seen, onEvent, onMissed }, onOpen) {
  const stop = new AbortController()
  let watchdog = setTimeout(() => stop.abort(), SILENCE_MS)
  try {
    const query = seen.run === undefined ? `newest=${newest}` : `run=${seen.run}`
    const response = await fetch(`/api/v1/stream?${query}`, {
      headers: headersOf({
        accept: 'text/event-stream',
        ...(seen.id !== undefined && { 'last-event-id': String(seen.id) }),
      }),
      signal: stop.signal,
    })
    if (response.status === 401) throw new TokenNeeded('The listener asks for a token.')
    if (!response.ok) throw new Error(`The stream answered ${response.status}.`)
    onOpen()
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      clearTimeout(watchdog)
      watchdog = setTimeout(() => stop.abort(), SILENCE_MS)
      rest += value
      const frames = rest.split('\n\n')
      rest = frames.pop() ?? ''
      if (rest.length > FRAME_CHARS_MAX) throw new Error('This is no stream of ours.')
      for (const frame of frames) takeFrame(frame, { seen, onEvent, onMissed })
    }
  } finally {
    clearTimeout(watchdog)
    stop.abort()
  }
}

function takeFrame(frame, { seen, onEvent, onMissed }) {
  const fields = {}
  for (const line of frame.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart()
  }
  if (fields.data === undefined) return
  const data = JSON.parse(fields.data)
  if (fields.event === 'hello') {
    // Another start of the runtime counts anew.
    if (seen.run !== data.run) seen.id = seen.run === undefined ? data.lastId : 0
    seen.run = data.run
  } else if (fields.event === 'missed') {
    onMissed(data)
  } else {
    seen.id = data.id
    onEvent(data)
  }
}
