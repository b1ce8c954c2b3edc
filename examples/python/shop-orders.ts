import {
  type Contract,
  consumer,
  event,
  integration,
  type Integration,
  jsonSchema,
  secret,
  sql,
  system,
  team,
  type TopicPlace,
  topicSource,
} from 'junctura'

const shop = team('shop')

interface Order {
  readonly number: number
  readonly text: string
}

/** What the shop's program promises to write; produce.py knows nothing of this file. */
const ShopOrderPlaced: Contract<'shop.order-placed', { readonly 1: Order }, 1> = event(
  'shop.order-placed',
  {
    owner: shop,
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        required: ['number', 'text'],
        properties: { number: { type: 'integer' }, text: { type: 'string' } },
      }),
    },
  },
)

const accounting = consumer('accounting', {
  owner: shop,
  on: ShopOrderPlaced,
  from: 'earliest',
  idempotency: 'transaction',
  retry: { attempts: 6, first: '1s', factor: 2, max: '1m' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  handle: async ({ number, text }, ctx) => {
    await ctx.tx(async (db) => {
      await db.run('insert into placed (number, text) values ($1, $2)', number, text)
    })
  },
})

const url = secret.env('SHOP_BROKER_URL')

/** An integration of yours names one of them. */
const PLACES: Readonly<Record<string, (name: string) => TopicPlace>> = {
  kafka: (topic) => ({ kafka: url, topic }),
  nats: (stream) => ({ nats: url, stream }),
  rabbitmq: (queue) => ({ rabbitmq: url, queue }),
}

export const shopOrders = (engine: string, name: string): Integration => {
  const topic = PLACES[engine]?.(name)
  if (!topic) throw new TypeError(`${engine} is no broker`)
  const orders = topicSource('shop-orders', {
    owner: shop,
    from: system('shop', { kind: 'internal', owner: shop }),
    topic,
    accepts: [ShopOrderPlaced],
  })
  const placed = 'create table placed (id integer primary key, number integer, text text)'
  const tables = [sql({ sqlite: placed })]
  return integration('shop-orders', { parts: [orders, accounting], tables })
}

export const shopOverKafka: Integration = shopOrders('kafka', 'shop-orders')
