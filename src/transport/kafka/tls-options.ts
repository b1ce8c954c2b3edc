/** Certificates in PEM, where those of the system do not do. */
export interface TlsOptions {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}
