import { command, commandHandler, createRuntime, event, integration, jsonSchema, saga, team } from './src/index.ts'
import { rmSync } from 'node:fs'
const owners = team('owners')
const schema = jsonSchema<{ orderId: string; amount: number }>({ type: 'object', required: ['orderId', 'amount'], properties: { orderId: { type: 'string' }, amount: { type: 'number' } } })
const out = jsonSchema<{ id: string }>({ type: 'object', required: ['id'], properties: { id: { type: 'string' } } })
const Placed = event('shop.placed', { owner: owners, key: 'orderId', versions: { 1: schema } })
const Captured = event('payments.captured', { owner: owners, key: 'orderId', versions: { 1: schema } })
const cmd = (name: 'stock.reserve' | 'cards.charge' | 'parcels.create') => command(name, { owner: owners, key: 'orderId', input: schema, output: out })
const [Reserve, Charge, Ship] = [cmd('stock.reserve'), cmd('cards.charge'), cmd('parcels.create')]
const policy = { owner: owners, idempotency: 'natural', retry: { attempts: 3, first: '1s', max: '10s' }, deadLetter: { alert: owners.oncall }, afterDeadLetter: 'skip', replay: 'safe', concurrency: 256, from: 'earliest' } as const
let done = 0
let runtime: Awaited<ReturnType<typeof createRuntime>>
const waiting = new Map<string, () => void>()
const ended = new Map<string, () => void>()
const one = saga('order', { version: 1, owner: owners, on: Placed, uses: [Reserve, Charge, Ship, Captured], from: 'earliest' }, async (s, o) => {
  await s.call(Reserve, o)
  await s.call(Charge, o)
  const got = await s.first({ captured: s.wait(Captured), gone: s.sleep('15m') })
  if (got.tag === 'gone') return s.fail('timeout')
  return s.call(Ship, o)
})
const desk = (on: typeof Reserve, after: (key: string) => void = () => undefined) => commandHandler(on.name.replace('.', '-'), { ...policy, on, handle: async (i) => { after(i.orderId); return { id: i.orderId } } })
const parts = [one, desk(Reserve), desk(Charge as never, (k) => setImmediate(() => void runtime.publish(Captured.of({ orderId: k, amount: 1 })))), desk(Ship as never, (k) => { done++; ended.get(k)?.(); ended.delete(k) })]
const dir = '/tmp/saga-bench/store'
rmSync(dir, { recursive: true, force: true })
runtime = await createRuntime(integration('bench', { parts }), { store: { engine: 'sqlite', directory: dir } })
const N = Number(process.argv[2] ?? 3000), C = Number(process.argv[3] ?? 64)
const runOne = (k: string) => new Promise<void>((resolve) => { ended.set(k, resolve); void runtime.publish(Placed.of({ orderId: k, amount: 1 })) })
const drive = async (n: number, tag: string) => { let i = 0; await Promise.all(Array.from({ length: C }, async () => { while (i < n) { await runOne(`${tag}${i++}`) } })) }
await drive(500, 'w')
const cpu0 = process.cpuUsage(), t0 = performance.now()
await drive(N, 'm')
const cpu = process.cpuUsage(cpu0), ms = performance.now() - t0
console.log(`${N} sagas, concurrency ${C}: ${(N / ms * 1000).toFixed(0)}/s wall, CPU ${((cpu.user + cpu.system) / N / 1000).toFixed(3)} ms a saga`)
await runtime.close()
process.exit(0)
