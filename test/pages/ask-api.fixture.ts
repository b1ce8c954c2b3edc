import { expect } from 'vitest'
import { createManagementApi, type ManageResponse } from '../../src/manage/index.ts'
import { createVirtualKernel } from '../../src/testing/index.ts'
import { scriptedRuntime, type ScriptedRuntime } from './scripted-runtime.fixture.ts'

export const TOKEN = 'a-token-for-tests-0123456789'
export const bearer: Readonly<Record<string, string>> = { authorization: `Bearer ${TOKEN}` }
export const json: Readonly<Record<string, string>> = { 'content-type': 'application/json' }

export interface Ask {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent instead of `headers`, with `host`. */
  readonly rawHeaders?: readonly string[]
  readonly body?: unknown
}

export interface AskedApi {
  readonly runtime: ScriptedRuntime
  ask(target: string, ask?: Ask): Promise<ManageResponse>
}

/** The management API over a scripted runtime, without a listener. */
export const askedApi = (token?: string): AskedApi => {
  const runtime = scriptedRuntime(createVirtualKernel())
  const api = createManagementApi({ runtime, ...(token !== undefined && { token }) })
  const ask = (target: string, { method, headers, rawHeaders, body }: Ask = {}) => {
    const all = { host: '127.0.0.1:7071', ...headers }
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const bytes = body === undefined ? new Uint8Array() : Buffer.from(text)
    return api.handle({
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      target,
      rawHeaders: rawHeaders ?? Object.entries(all).flat(),
      remoteAddress: '127.0.0.1',
      readBody: (bytesMax) =>
        Promise.resolve(bytes.length > bytesMax ? { kind: 'too-large' } : { kind: 'bytes', bytes }),
    })
  }
  return { runtime, ask }
}

export const bodyOf = (answer: ManageResponse): Record<string, unknown> => {
  const value: unknown = JSON.parse(typeof answer.body === 'string' ? answer.body : '')
  expect(value).toBeTypeOf('object')
  return { ...(value as object) }
}

export const problemOf = (answer: ManageResponse): readonly unknown[] => {
  expect(answer.headers['content-type']).toBe('application/problem+json')
  const { status, code, parameter } = bodyOf(answer)
  expect(status).toBe(answer.status)
  return parameter === undefined ? [answer.status, code] : [answer.status, code, parameter]
}
