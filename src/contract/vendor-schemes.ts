import { FIELD_VENDORS } from './field-vendors.ts'
import { TIMED_VENDORS } from './timed-vendors.ts'
import { UNTIMED_VENDORS } from './untimed-vendors.ts'
import type { Vendors } from './vendor-scheme.ts'

/** Senders that show a token, and sign nothing. */
const TOKEN_VENDORS: Vendors = {
  gitlab: {
    title: 'GitLab (secret token)',
    source: 'https://docs.gitlab.com/user/project/integrations/webhooks/',
    definition: { name: 'gitlab', header: 'x-gitlab-token', isBare: true },
    key: "header('idempotency-key')",
    note: 'Prefer a signing token: then it is standardWebhooks.',
  },
  okta: {
    title: 'Okta event hooks',
    source: 'https://developer.okta.com/docs/concepts/event-hooks/',
    definition: {
      name: 'okta',
      isBare: true,
      handshakes: [
        {
          method: 'GET',
          signed: true,
          when: [{ from: 'header', name: 'x-okta-verification-challenge' }],
          answer: {
            as: 'json',
            members: { verification: { from: 'header', name: 'x-okta-verification-challenge' } },
          },
        },
      ],
    },
    key: "body('eventId')",
  },
}

/**
 * Every sender that is known by name. Data: the reference page, the presets and the tests over all
 * schemes are made of it.
 */
export const VENDOR_SCHEMES: Vendors = Object.freeze({
  ...TIMED_VENDORS,
  ...UNTIMED_VENDORS,
  ...FIELD_VENDORS,
  ...TOKEN_VENDORS,
})
