import { createSystemKernel } from '../../src/kernel/index.ts'
import { createRabbitmqBroker } from '../../src/transport/index.ts'

/** Run as a process of its own: whatever is left open keeps it from ending. */
const [, , url = ''] = process.argv
const broker = await createRabbitmqBroker({ ...createSystemKernel(), url, prefix: 'ends' })
await broker.ensure([{ channel: 'orders', retentionMs: 60_000 }])
await broker.follow('orders', () => undefined)
const data = Buffer.from('{}')
await broker.publish('orders', [{ partition: 0, key: 'k', id: '1', attributes: {}, data }])
await broker.close()
process.stdout.write('closed\n')
