import type { BrokerOptions } from '../broker.ts'

// Apart from the link, whose types need the package of the client.

export interface NatsLinkOptions extends BrokerOptions {
  /** What the file of credentials of a user holds, where the server wants one. */
  readonly credentials?: string
  /** PEM texts; with a URL of `tls:` none is needed if the system trusts the server. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** Begins the subjects on which answers come. @default '_INBOX' */
  readonly inboxPrefix?: string
}
