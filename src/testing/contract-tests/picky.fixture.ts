import {
  consumer,
  event,
  integration,
  type Integration,
  jsonSchema,
  secret,
  standardWebhooks,
  system,
  team,
  webhook,
} from '../../contract/index.ts'

const owner = team('owner')
const Thing = event('things.made', {
  owner,
  key: 'id',
  versions: {
    1: jsonSchema<Made>({
      type: 'object',
      required: ['id', 'size'],
      properties: { id: { type: 'string' }, size: { type: 'integer' } },
    }),
  },
})
interface Made {
  readonly id: string
  readonly size: number
}
/** One webhook and one consumer, with what a test does in them. */
export const makeThings = (
  handle: (thing: Made) => Promise<void>,
  emit: (thing: Made) => undefined = () => undefined,
): Integration =>
  integration('picky', {
    parts: [
      webhook('maker', {
        from: system('maker'),
        path: '/things',
        verify: standardWebhooks({ secret: secret.env('MAKER_SECRET') }),
        accepts: Thing,
        idempotency: {},
        retriesFor: '1h',
        emit,
      }),
      consumer('store', {
        owner,
        on: Thing,
        idempotency: 'natural',
        retry: { attempts: 2, first: '1s', max: '1s' },
        deadLetter: { alert: owner.oncall },
        afterDeadLetter: 'park',
        replay: 'safe',
        timeout: '5s',
        handle,
      }),
    ],
  })

/** Its transform and its handler refuse whatever an example of the schema is. */
const picky: Integration = makeThings(
  (thing) =>
    thing.size === 7_777 ? Promise.resolve() : Promise.reject(new RangeError('no such size')),
  (thing) => {
    if (thing.size !== 7_777) throw new TypeError('no such size here')
  },
)
export default picky
