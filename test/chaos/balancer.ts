// A load balancer as they usually are: it asks /readyz now and then, sends each request to one of
// those that were ready, and tries another when a connection is not taken at all.
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { RuntimeProcess } from './runtime-process.ts'

export interface Balancer {
  readonly url: string
  add(target: RuntimeProcess): void
  remove(target: RuntimeProcess): void
  close(): Promise<void>
}

const PROBE_MS = 100

export const startBalancer = async (): Promise<Balancer> => {
  const targets = new Map<RuntimeProcess, { isReady: boolean; readonly agent: Agent }>()
  let turn = 0
  const probe = async (): Promise<void> => {
    await Promise.all(
      [...targets].map(async ([target, state]) => {
        state.isReady = await fetch(`${target.managementUrl}/readyz`).then(
          async (answer) => {
            await answer.arrayBuffer()
            return answer.ok
          },
          () => false,
        )
      }),
    )
  }
  const timer = setInterval(() => void probe(), PROBE_MS)

  const forward = (
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    work: { readonly body: Buffer; readonly tried: readonly RuntimeProcess[] },
  ): void => {
    const { body, tried } = work
    const ready = [...targets].filter(([target, { isReady }]) => isReady && !tried.includes(target))
    const [target, state] = ready[turn++ % Math.max(1, ready.length)] ?? []
    if (!target || !state) return void outgoing.writeHead(502).end('nobody is ready')
    const { method, url = '/', headers } = incoming
    let isTaken = false
    const upstream = request(
      target.url + url,
      { method, headers, agent: state.agent },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      },
    )
    upstream.on('socket', (socket) => {
      if (upstream.reusedSocket) isTaken = true
      else socket.once('connect', () => (isTaken = true))
    })
    upstream.on('error', (error) => {
      if (!isTaken) return forward(incoming, outgoing, { body, tried: [...tried, target] })
      if (!outgoing.headersSent) outgoing.writeHead(502)
      outgoing.end(String(error))
    })
    upstream.end(body)
  }

  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () =>
      forward(incoming, outgoing, { body: Buffer.concat(chunks), tried: [] }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    add: (target) =>
      void targets.set(target, { isReady: true, agent: new Agent({ keepAlive: true }) }),
    remove(target) {
      targets.get(target)?.agent.destroy()
      targets.delete(target)
    },
    async close() {
      clearInterval(timer)
      for (const { agent } of targets.values()) agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
