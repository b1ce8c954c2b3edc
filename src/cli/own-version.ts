import { readFileSync } from 'node:fs'

/** Version of the package that this file is part of, in `src/cli` and in `dist/cli` alike. */
export const readOwnVersion = (): string => {
  const manifest: { readonly version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  return manifest.version
}
