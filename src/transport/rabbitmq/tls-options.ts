/** PEM texts. */
export interface RabbitmqTls {
  /** Of the authority that signed the certificate of the server. */
  readonly ca?: string
  /** Ours, where the server asks for one, and its key. */
  readonly cert?: string
  readonly key?: string
}
