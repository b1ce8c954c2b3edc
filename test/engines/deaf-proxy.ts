import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * Stands between clients and PostgreSQL as a pooler in transaction mode does for a client that
 * listens: LISTEN is accepted, and no notice ever comes. Counts the statements that pass.
 */
export interface DeafProxy {
  readonly port: number
  readonly statements: number
  close(): Promise<void>
}

const NOTIFICATION = 'A'.charCodeAt(0)
const QUERY = 'Q'.charCodeAt(0)
const EXECUTE = 'E'.charCodeAt(0)

export const startDeafProxy = async (target: {
  readonly host: string
  readonly port: number
}): Promise<DeafProxy> => {
  let statements = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(target)
    const end = (): void => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', end)
    }
    let isStarted = false
    const asked = messagesOf((type) => {
      if (type === QUERY || type === EXECUTE) statements += 1
      return true
    })
    client.on('data', (chunk: Buffer) => {
      // The first message of a client has no type.
      if (isStarted) asked(chunk)
      isStarted = true
      upstream.write(chunk)
    })
    const answers = messagesOf((type) => type !== NOTIFICATION)
    upstream.on('data', (chunk: Buffer) => {
      client.write(Buffer.concat(answers(chunk)))
    })
  })
  return {
    port: await listen(server),
    get statements() {
      return statements
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => void server.close(() => resolve()))
    },
  }
}

/** Cuts a stream into messages, each with a type and a length, and gives those that are wanted. */
const messagesOf = (
  isWanted: (type: number) => boolean,
): ((chunk: Buffer) => readonly Buffer[]) => {
  let left = Buffer.alloc(0)
  return (chunk) => {
    left = Buffer.concat([left, chunk])
    const messages: Buffer[] = []
    while (left.length >= 5 && left.length >= 1 + left.readInt32BE(1)) {
      const message = left.subarray(0, 1 + left.readInt32BE(1))
      left = left.subarray(message.length)
      if (isWanted(message[0] ?? 0)) messages.push(message)
    }
    return messages
  }
}

const listen = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
