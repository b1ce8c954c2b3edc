// A process that only moves a topic, until somebody kills it: the place as JSON, URL, directory.
import type { TopicPlace } from '../contract/index.ts'
import { BROKER_URL, openTopicWorld, until } from './topic-world.fixture.ts'

const [place = '{}', url = '', directory = ''] = process.argv.slice(2)
const named = JSON.parse(place) as TopicPlace
const engine = 'kafka' in named ? 'kafka' : 'nats' in named ? 'nats' : 'rabbitmq'
const { runtime } = await openTopicWorld({
  topic: { ...named, [engine]: BROKER_URL },
  url,
  store: { engine: 'sqlite', directory },
})
await until('something to be moved', async () => ((await runtime.topics())[0]?.moved ?? 0) > 0)
process.stdout.write('moved\n')
