// A process that only relays, until somebody kills it: URL, schema, directory of the store.
import { OUTBOX_URL, openRelayWorld } from './outbox-world.fixture.ts'

const [url = '', schema = '', directory = ''] = process.argv.slice(2)
await openRelayWorld({
  database: OUTBOX_URL,
  url,
  schema,
  store: { engine: 'sqlite', directory },
})
process.stdout.write('ready\n')
