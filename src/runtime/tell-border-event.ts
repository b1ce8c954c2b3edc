import type { BorderEvent } from '../inbox/index.ts'
import type { EventHub } from './events.ts'

/** What the border tells, as events of the stream. */
export const tellBorderEvent =
  (events: EventHub) =>
  (event: BorderEvent): void => {
    switch (event.kind) {
      case 'accepted': {
        const { webhook, id, key } = event
        return events.publish({ kind: 'accepted', webhook, messageId: id, type: '', key })
      }
      case 'duplicate':
      case 'duplicate-fact': {
        const { webhook, id, key } = event
        return events.publish({ kind: 'duplicate', webhook, messageId: id ?? '', type: '', key })
      }
      case 'conflict': {
        const { webhook, id, key, invalidId = '' } = event
        const reason = `the key ${key} was used with other content by ${id ?? 'an older message'}`
        return events.publish({ kind: 'invalid', webhook, invalidId, reason })
      }
      case 'invalid': {
        const { webhook, invalidId, reason } = event
        return events.publish({ kind: 'invalid', webhook, invalidId: invalidId ?? '', reason })
      }
      case 'transform-failed': {
        const { webhook, id, deadLetter } = event
        return events.publish({
          kind: 'dead-letter',
          consumer: webhook,
          deadLetterId: deadLetter,
          messageId: id,
          key: '',
          cause: 'transform',
        })
      }
      case 'published': {
        const { id, type, key = '' } = event
        return events.publish({ kind: 'published', messageId: id, type, key })
      }
    }
  }
