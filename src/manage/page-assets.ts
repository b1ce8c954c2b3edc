import { readFileSync } from 'node:fs'

export interface PageAsset {
  readonly contentType: string
  readonly bytes: Uint8Array
}

/** Each file of the page by the path it is served at. Nothing else is ever read from disk. */
const FILES: Readonly<Record<string, readonly [file: string, contentType: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/page/icon.svg': ['icon.svg', 'image/svg+xml'],
  '/page/page.js': ['page.js', 'text/javascript; charset=utf-8'],
  '/page/client.js': ['client.js', 'text/javascript; charset=utf-8'],
  '/page/elements.js': ['elements.js', 'text/javascript; charset=utf-8'],
  '/page/format.js': ['format.js', 'text/javascript; charset=utf-8'],
  '/page/health.js': ['health.js', 'text/javascript; charset=utf-8'],
  '/page/failures.js': ['failures.js', 'text/javascript; charset=utf-8'],
  '/page/messages.js': ['messages.js', 'text/javascript; charset=utf-8'],
  '/page/detail.js': ['detail.js', 'text/javascript; charset=utf-8'],
  '/page/live.js': ['live.js', 'text/javascript; charset=utf-8'],
}

/** The page's files, read once at start: they are part of the program, as its code is. */
export const readPageAssets = (): ReadonlyMap<string, PageAsset> =>
  new Map(
    Object.entries(FILES).map(([path, [file, contentType]]) => [
      path,
      { contentType, bytes: readFileSync(new URL(`./page/${file}`, import.meta.url)) },
    ]),
  )
