// Acme, emulated: another company's sender with its own code, over real HTTP. It knows the secret
// and the Standard Webhooks specification, and nothing of Junctura.
import { createHmac } from 'node:crypto'

/** The secret that integration.ts falls back to on a developer's machine. */
export const DEVELOPMENT_SECRET = 'whsec_b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA=='

/** One request as Acme means it; what is left out is done right. */
export interface PartnerRequest {
  /** The `webhook-id`: the same one when Acme sends again. */
  readonly id: string
  readonly body: { readonly orderId: string; readonly [name: string]: unknown }
  /** How old the signed timestamp is. */
  readonly ageSeconds?: number
  /** Signs with a secret that is not the agreed one. */
  readonly forged?: boolean
}

export interface PartnerAnswer {
  readonly status: number
  /** The message id of a success, or the code of a problem document. */
  readonly says: string
}

/** Sends one request. Rejects when no answer comes. */
export type Send = (request: PartnerRequest) => Promise<PartnerAnswer>

export const createPartner =
  (webhookUrl: string, secret: string): Send =>
  async (request) => {
    const body = JSON.stringify(request.body)
    const timestamp = Math.floor(Date.now() / 1000) - (request.ageSeconds ?? 0)
    const key = request.forged ? 'whsec_c29tZWJvZHkgZWxzZQ==' : secret
    const response = await fetch(webhookUrl, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': request.id,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': sign(key, `${request.id}.${timestamp}.${body}`),
      },
      body,
      signal: AbortSignal.timeout(10_000),
    })
    return { status: response.status, says: readAnswer(await response.text()) }
  }

/** @see Standard Webhooks 1.0.0, "Signature scheme": `v1,` and the HMAC-SHA256 in base64. */
const sign = (secret: string, content: string): string => {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  return `v1,${createHmac('sha256', key).update(content).digest('base64')}`
}

function readAnswer(text: string): string {
  const answer: { readonly id?: string; readonly code?: string } = JSON.parse(text)
  return answer.id ?? answer.code ?? text
}
