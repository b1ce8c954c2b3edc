import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { JuncturaError, messageOf } from '../kernel/index.ts'
import type { DialReply, DialRequest } from './cli-io.ts'

/**
 * Sends a request of a command. Holds no policy: no retry, no token, no deadline of its own. Not
 * `fetch`, which keeps the connection of an aborted stream open for seconds, so that a runtime
 * that drains would wait for it.
 */
export const dialHttp = (request: DialRequest): Promise<DialReply> =>
  new Promise((resolve, reject) => {
    const { method, url, headers, body, signal } = request
    const open = url.startsWith('https:') ? requestHttps : requestHttp
    const call = open(url, {
      method,
      headers: { ...headers, ...(body && { 'content-length': body.length }) },
      ...(signal && { signal }),
    })
    call.on('response', (response) => resolve(replyOf(response, url)))
    call.on('error', (error) => reject(signal?.aborted ? error : unreachable(url, error)))
    call.end(body)
  })

const replyOf = (response: IncomingMessage, url: string): DialReply => ({
  status: response.statusCode ?? 0,
  header(name) {
    const value = response.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  },
  async text() {
    const chunks: Uint8Array[] = []
    try {
      for await (const chunk of response) chunks.push(Buffer.from(chunk))
    } catch (cause) {
      // Cut off in the middle of its answer; whether the work was done is not known.
      throw unreachable(url, cause)
    }
    return Buffer.concat(chunks).toString('utf8')
  },
  chunks: response,
})

/** What kept an answer from coming, in the words of the system. */
const unreachable = (url: string, cause: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_UNREACHABLE', {
    details: { url: originOf(url), problem: firstMessage(cause) },
    cause,
  })

const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : url)

/** A name with several addresses fails with one error for each. */
const firstMessage = (thrown: unknown): string =>
  messageOf(thrown instanceof AggregateError ? (thrown.errors[0] ?? thrown) : thrown)
