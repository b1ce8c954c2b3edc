import { createServer, connect, type Server, type Socket } from 'node:net'

/** Stands between a client and a server, and breaks the connection when a test says so. */
export interface CuttingProxy {
  readonly port: number
  /**
   * Breaks the connection that next sends `text`: before it reaches the server, or after the
   * server has answered and before the client hears of it.
   */
  cutAt(text: string, when: 'before' | 'after'): void
  close(): Promise<void>
}

export const startCuttingProxy = async (target: {
  readonly host: string
  readonly port: number
}): Promise<CuttingProxy> => {
  let cut: { readonly text: string; readonly when: 'before' | 'after' } | undefined
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(target)
    let answerIsLost = false
    const end = (): void => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', end)
      socket.on('close', end)
    }
    client.on('data', (chunk: Buffer) => {
      if (cut === undefined || !chunk.includes(cut.text)) return void upstream.write(chunk)
      const { when } = cut
      cut = undefined
      if (when === 'before') return end()
      answerIsLost = true
      upstream.write(chunk)
    })
    upstream.on('data', (chunk: Buffer) => {
      if (answerIsLost) end()
      else client.write(chunk)
    })
  })
  return {
    port: await listen(server),
    cutAt(text, when) {
      cut = { text, when }
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => void server.close(() => resolve()))
    },
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
