import { createServer } from 'node:net'

/**
 * Free ports on loopback, below those that systems give to outgoing connections: while a server is
 * down, no client can be given its port, nor connect to itself on it.
 */
export const findFreePorts = async (count: number): Promise<readonly number[]> => {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries += 1) {
    if (tries > TRIES_MAX) throw new Error(`no ${count} free ports from ${FIRST} to ${LAST}`)
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1))
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  return [...found]
}

const FIRST = 20_000
const LAST = 31_999
const TRIES_MAX = 1_000

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => void server.close(() => resolve(true)))
  })
