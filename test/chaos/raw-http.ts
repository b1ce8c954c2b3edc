// Requests that no honest client sends, written to a socket byte by byte, and what came back.
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** No single input may hold the loop longer (F47). */
export const LOOP_MS_MAX = 100

export interface RawReply {
  /** Status codes in the order of the answers. */
  readonly statuses: readonly number[]
  readonly text: string
  /** Whether the server closed the connection by itself. */
  readonly wasClosed: boolean
}

const QUIET_MS = 250
const REPLY_MS_MAX = 8_000

/**
 * Sends the pieces one after the other and reads until the connection is closed, or nothing more
 * comes after the first answer. Then it hangs up in the middle of whatever is left.
 */
export const sendRaw = (url: string, pieces: readonly (string | Uint8Array)[]): Promise<RawReply> =>
  new Promise((done) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    let text = ''
    let wasClosed = false
    let quiet: NodeJS.Timeout | undefined
    const finish = (): void => {
      clearTimeout(limit)
      clearTimeout(quiet)
      socket.destroy()
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, code]) => Number(code))
      done({ statuses, text, wasClosed })
    }
    const limit = setTimeout(finish, REPLY_MS_MAX)
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      clearTimeout(quiet)
      quiet = setTimeout(finish, QUIET_MS)
    })
    // A reset: the server closed while we were still sending.
    socket.on('error', () => (wasClosed = true))
    socket.on('end', () => (wasClosed = true))
    socket.on('close', finish)
    socket.on('connect', () => {
      for (const piece of pieces) socket.write(piece)
      // What is incomplete is given up by the client: nobody waits for its timeout.
      quiet = setTimeout(() => socket.end(), QUIET_MS * 4)
    })
  })

const KEY = Buffer.from('b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA==', 'base64')

/** Header lines that sign this body as the partner does. */
export const signedLines = (webhookId: string, body: string | Uint8Array): readonly string[] => {
  const timestamp = String(Math.floor(Date.now() / 1_000))
  const signature = createHmac('sha256', KEY)
    .update(`${webhookId}.${timestamp}.`)
    .update(body)
    .digest('base64')
  return [
    'Content-Type: application/json',
    `webhook-id: ${webhookId}`,
    `webhook-timestamp: ${timestamp}`,
    `webhook-signature: v1,${signature}`,
  ]
}

export const orderBody = (orderId: string): string =>
  JSON.stringify({ version: 2, orderId, status: 'placed' })

export const head = (lines: readonly string[], first = 'POST /webhooks/acme HTTP/1.1'): string =>
  [first, 'Host: localhost', ...lines, '', ''].join('\r\n')

/** A request that would be taken on its own. */
export const goodRequest = (webhookId: string, orderId: string): string => {
  const body = orderBody(orderId)
  const length = `Content-Length: ${Buffer.byteLength(body)}`
  return head([...signedLines(webhookId, body), length, 'Connection: close']) + body
}

/**
 * What the thread that runs JavaScript has computed so far, in milliseconds, once it rests. Unlike
 * a watch, it does not see what other processes do to the machine.
 */
export const restedThreadMs = async (pid: number): Promise<number> => {
  for (let before = threadMs(pid), tries = 0; ; tries++) {
    await delay(RESTING_MS)
    const now = threadMs(pid)
    if (now - before < 2 || tries > RESTING_TRIES_MAX) return now
    before = now
  }
}

const RESTING_MS = 15
const RESTING_TRIES_MAX = 500

export const threadMs = (pid: number): number => {
  const [ns] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')
  return Number(ns) / 1e6
}
