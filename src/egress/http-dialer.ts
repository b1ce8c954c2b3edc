import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { LIMITS } from '../kernel/index.ts'
import type { HttpCall, HttpDial, HttpReply } from './http-dial.ts'

export interface HttpDialer {
  readonly dial: HttpDial
  /** Closes the connections that are kept. Idempotent. */
  close(): void
}

/** Connections that nothing is sent on for longer are closed; most servers wait five seconds. */
const IDLE_MS = 4_000
const IDLE_SOCKETS_MAX = 32

/**
 * Sends requests over real sockets, and keeps connections for the next. One of the few files that
 * open connections; it holds no policy: deadlines, retries and what an answer means are for the
 * caller.
 */
export const createHttpDialer = (): HttpDialer => {
  const options = {
    keepAlive: true,
    maxSockets: LIMITS.pushSocketsMax,
    maxFreeSockets: IDLE_SOCKETS_MAX,
    timeout: IDLE_MS,
  }
  const http = new HttpAgent(options)
  const https = new HttpsAgent(options)
  const agents = { http, https }
  return {
    dial: async (call) => {
      try {
        return await exchange(call, agents)
      } catch (error) {
        // The server closed a kept connection just as it was used. As a rule it has read nothing;
        // if it has, it knows the id.
        if (error instanceof StaleConnection && !call.signal.aborted) return exchange(call, agents)
        throw error
      }
    },
    close() {
      http.destroy()
      https.destroy()
    },
  }
}

class StaleConnection extends Error {
  override readonly name = 'StaleConnection'
}

function exchange(
  call: HttpCall,
  agents: { readonly http: HttpAgent; readonly https: HttpsAgent },
): Promise<HttpReply> {
  const url = new URL(call.url)
  const isSecure = url.protocol === 'https:'
  const open = isSecure ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = open(url, {
      method: call.method,
      signal: call.signal,
      agent: isSecure ? agents.https : agents.http,
      headers: {
        ...call.headers,
        'accept-encoding': 'identity',
        'content-length': String(call.body.length),
      },
    })
    let hasAnswer = false
    request.on('response', (response) => {
      hasAnswer = true
      readReply(response, call.answerBytesMax).then(resolve, reject)
    })
    request.on('error', (error) => {
      const isReset = 'code' in error && error.code === 'ECONNRESET'
      reject(isReset && request.reusedSocket ? new StaleConnection(error.message) : error)
    })
    // An answer that nobody can read, such as 101, ends the request without an error of its own.
    request.on('close', () => {
      if (!hasAnswer) reject(new Error('the connection ended without an answer'))
    })
    request.end(call.body)
  })
}

function readReply(response: IncomingMessage, bytesMax: number): Promise<HttpReply> {
  const chunks: Buffer[] = []
  let held = 0
  return new Promise((resolve, reject) => {
    const reply = (isCut: boolean): HttpReply => ({
      status: response.statusCode ?? 0,
      headers: headersOf(response),
      body: Buffer.concat(chunks).subarray(0, bytesMax),
      isCut,
    })
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      held += chunk.length
      if (held <= bytesMax) return
      resolve(reply(true))
      // What follows is not wanted, and would have to be read before the connection is used again.
      response.destroy()
    })
    response.on('end', () => resolve(reply(false)))
    response.on('error', reject)
    response.on('close', () => reject(new Error('the connection ended before the answer did')))
  })
}

const headersOf = (response: IncomingMessage): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(response.headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, [value].flat().join(', ')]],
    ),
  )
