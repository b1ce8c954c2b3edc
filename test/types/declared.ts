// Parts that the type tests share, as a team would declare them.
import { type ConsumerPolicy, type System, system, type Team, team } from 'junctura'
import { z } from 'zod'

export const owner: Team = team('owners')
export const partner: System = system('partner')

export const policy: ConsumerPolicy = {
  owner,
  idempotency: 'transaction',
  retry: { attempts: 3, first: '1s', max: '10s' },
  deadLetter: { alert: owner.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
}

export const orderV1: z.ZodObject<{ orderId: z.ZodString; amount: z.ZodNumber }> = z.object({
  orderId: z.string(),
  amount: z.number(),
})
export const orderV2: z.ZodObject<{ orderId: z.ZodString; total: z.ZodString }> = z.object({
  orderId: z.string(),
  total: z.string(),
})

export interface OrderV1 {
  orderId: string
  amount: number
}
export interface OrderV2 {
  orderId: string
  total: string
}
