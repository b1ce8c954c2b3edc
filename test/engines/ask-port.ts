import { createConnection } from 'node:net'

const ANSWER_MS_MAX = 2_000

/** Sends a greeting to a port of loopback; the first bytes that come back, or nothing. */
export const askPort = (port: number, greeting: Uint8Array): Promise<Buffer | undefined> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.write(greeting))
    const done = (answer?: Buffer): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(ANSWER_MS_MAX, () => done())
    socket.once('data', (chunk: Buffer) => done(chunk))
    socket.once('error', () => done())
    socket.once('close', () => done())
  })
