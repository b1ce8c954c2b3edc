import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { type Declaration, readPublicDeclarations } from './public-declarations.ts'

const roots: string[] = []

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true })
})

function declarationsOf(files: Readonly<Record<string, string>>): readonly Declaration[] {
  const root = mkdtempSync(join(tmpdir(), 'junctura-api-'))
  roots.push(root)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return readPublicDeclarations(join(root, 'index.d.ts'))
}

const namesOf = (found: readonly Declaration[]): readonly string[] =>
  found.map(({ name, exportedAs }) => `${exportedAs ?? '-'}:${name}`)

it('leaves out what no export leads to', () => {
  const found = declarationsOf({
    'index.d.ts': "export { open } from './room/index.ts';\n",
    'room/index.d.ts': "export * from './open.ts';\nexport * from './secret.ts';\n",
    'room/open.d.ts': 'export declare const open: () => void;\n',
    'room/secret.d.ts': 'export declare const secret: string;\n',
  })

  expect(namesOf(found)).toEqual(['open:open'])
})

it('follows types through other files and doors, once each, also in a circle', () => {
  const found = declarationsOf({
    'index.d.ts': "export { open as start } from './room/index.ts';\n",
    'room/index.d.ts': "export * from './open.ts';\n",
    'room/open.d.ts':
      "import type { Options as O } from '../other/index.ts';\n" +
      'export declare const open: (options: O) => Inner;\ninterface Inner { self: Inner }\n',
    'other/index.d.ts': "export * from './options.ts';\n",
    'other/options.d.ts': 'export interface Options { parent: Options }\n',
  })

  expect(namesOf(found)).toEqual(['-:Inner', '-:Options', 'start:open'])
})

it('keeps the docstring, because it is part of the promise', () => {
  const [found] = declarationsOf({
    'index.d.ts': '/** Waits 5 s. */\nexport declare const wait: () => void;\n',
  })

  expect(found?.text).toBe('/** Waits 5 s. */\nexport declare const wait: () => void;')
})

it('keeps all overloads, and a type beside a value of the same name', () => {
  const [found] = declarationsOf({
    'index.d.ts':
      'export declare function emit(a: string): void;\nexport declare function emit(a: number): void;\n',
  })

  expect(found?.text.match(/emit/g)).toHaveLength(2)
})

it('changes nothing when a declaration moves to another file', () => {
  const text = 'export interface A { b: string }\n'
  const before = declarationsOf({ 'index.d.ts': "export * from './a.ts';\n", 'a.d.ts': text })
  const after = declarationsOf({ 'index.d.ts': "export * from './z.ts';\n", 'z.d.ts': text })

  expect(after).toEqual(before)
  expect(after).toHaveLength(1)
})
