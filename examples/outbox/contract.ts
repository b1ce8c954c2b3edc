import { type Contract, event, jsonSchema, team, type Team } from 'junctura'

export const shop: Team = team('shop')

export interface Order {
  readonly orderId: string
  readonly cents: number
}

/** What the service promises to tell; it and the integration share this file and nothing else. */
export const OrderPlaced: Contract<'orders.placed', { readonly 1: Order }, 1> = event(
  'orders.placed',
  {
    owner: shop,
    key: 'orderId',
    versions: {
      1: jsonSchema<Order>({
        type: 'object',
        properties: { orderId: { type: 'string' }, cents: { type: 'integer', minimum: 1 } },
        required: ['orderId', 'cents'],
      }),
    },
  },
)
