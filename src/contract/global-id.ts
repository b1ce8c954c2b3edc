import { hash } from 'node:crypto'
import { cloudEventKey } from './cloud-event.ts'
import type { Envelope } from './envelope.ts'

/** Ids that Junctura makes, and what it derives from them, are of one message everywhere. */
const OWN = /^(?:msg_[0-9a-f]{12}7[0-9a-f]{19}(?:[-.]|$)|sha256_[0-9a-f]{64}\.)/

/**
 * What one message is known by among all. An id that another system wrote, into a topic or an
 * outbox, is unique within its source alone: then it is a digest of both.
 */
export const globalId = ({ source, id }: Pick<Envelope, 'source' | 'id'>): string =>
  OWN.test(id) ? id : `sha256_${hash('sha256', cloudEventKey({ source, id }), 'hex')}`
