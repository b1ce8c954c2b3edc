import { JuncturaError, messageOf } from '../kernel/index.ts'
import type { DialReply, DialRequest } from './cli-io.ts'

/** Sends a request of a command. Holds no policy: no retry, no token, no deadline of its own. */
export const dialHttp = async (request: DialRequest): Promise<DialReply> => {
  let response: Response
  try {
    response = await fetch(request.url, {
      method: request.method,
      headers: request.headers ?? {},
      // A copy, because fetch takes only bytes that no other thread can change.
      body: request.body === undefined ? null : Uint8Array.from(request.body),
      signal: request.signal ?? null,
      redirect: 'manual',
    })
  } catch (cause) {
    if (request.signal?.aborted) throw cause
    throw unreachable(request.url, cause)
  }
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    text: () => response.text(),
    chunks: response.body ?? emptyBody(),
  }
}

/** What kept an answer from coming, in the words of the system. */
const unreachable = (url: string, cause: unknown): JuncturaError =>
  new JuncturaError('JUNCTURA_UNREACHABLE', {
    details: { url: originOf(url), problem: deepestMessage(cause) },
    cause,
  })

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url
}

function deepestMessage(thrown: unknown): string {
  const inner = thrown instanceof AggregateError ? thrown.errors[0] : undefined
  const cause = inner ?? (thrown instanceof Error ? thrown.cause : undefined)
  return cause === undefined ? messageOf(thrown) : deepestMessage(cause)
}

// oxlint-disable-next-line require-yield -- there is nothing to yield
async function* emptyBody(): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
}
