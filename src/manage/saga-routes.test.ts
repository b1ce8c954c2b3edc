import { describe, expect, it } from 'vitest'
import { askedApi, bodyOf, json, problemOf } from '../../test/pages/ask-api.fixture.ts'
import { pausedRun, sagaSummary } from '../../test/pages/saga-run.fixture.ts'

const shown = () => {
  const api = askedApi()
  api.runtime.shows.sagas = [sagaSummary]
  api.runtime.shows.sagaRuns = [pausedRun]
  return api
}

describe('sagas', () => {
  it('are listed with their live runs', async () => {
    const { ask } = shown()
    expect(bodyOf(await ask('/api/v1/sagas'))).toMatchObject({
      items: [{ name: 'order', live: { paused: 1 } }],
    })
  })

  it('have runs by saga, state, owner, step and age, without their journals', async () => {
    const { runtime, ask } = shown()
    const query = 'saga=order&state=paused&owner=orders&step=a%231&startedBeforeMs=5&parked=true'
    const answer = await ask(`/api/v1/saga-runs?${query}&limit=2&after=x`)
    expect(runtime.asked).toEqual([
      {
        method: 'sagas',
        with: {
          saga: 'order',
          owner: 'orders',
          step: 'a#1',
          limit: 2,
          after: 'x',
          state: 'paused',
          startedBeforeMs: 5,
          isParked: true,
        },
      },
    ])
    const { items } = bodyOf(answer)
    expect(items).toMatchObject([{ key: 'a', steps: 3, waitsFor: [{ owner: 'bank' }] }])
    expect(JSON.stringify(items)).not.toContain('entries')
  })

  it('show one run, and nothing that only the engine reads', async () => {
    const { ask } = shown()
    const body = bodyOf(await ask('/api/v1/saga-runs/order?key=a'))
    expect(body).toMatchObject({ key: 'a', next: [{ command: 'saga.retry-step' }, {}] })
    for (const name of ['position', 'startId', 'liveSaga']) expect(body).not.toHaveProperty(name)
  })

  it.each([
    ['/api/v1/saga-runs?state=broken', [400, 'JUNCTURA_PARAMETER_INVALID', 'state']],
    [
      '/api/v1/saga-runs?startedBeforeMs=soon',
      [400, 'JUNCTURA_PARAMETER_INVALID', 'startedBeforeMs'],
    ],
    ['/api/v1/saga-runs?key=a', [400, 'JUNCTURA_PARAMETER_INVALID', 'key']],
    ['/api/v1/saga-runs/order', [400, 'JUNCTURA_PARAMETER_INVALID', 'key']],
    ['/api/v1/saga-runs/order?key=b', [404, 'JUNCTURA_RESOURCE_UNKNOWN']],
    ['/api/v1/saga-runs/other?key=a', [404, 'JUNCTURA_RESOURCE_UNKNOWN']],
  ])('refuse %s (F104)', async (target, problem) => {
    const { ask } = shown()
    expect(problemOf(await ask(target))).toEqual(problem)
  })

  it.each([
    [{ kind: 'saga.start', saga: 'order' }, 'command.data'],
    [{ kind: 'saga.cancel', saga: 'order' }, 'command.key'],
    [{ kind: 'saga.retry-step', saga: 'order', key: 'a' }, 'command.step'],
    [{ kind: 'saga.plan', act: 'delete', filter: {} }, 'command.act'],
    [{ kind: 'saga.plan', act: 'cancel', filter: { state: 'x' } }, 'command.filter.state'],
    [{ kind: 'saga.plan', act: 'cancel', filter: { tenant: 'x' } }, 'command.filter.tenant'],
    [{ kind: 'saga.run-plan', id: 'op_1' }, 'command.token'],
  ])('refuse %j (F104)', async (command, parameter) => {
    const { runtime, ask } = shown()
    const answer = await ask('/api/v1/operations', {
      headers: json,
      body: { command, reason: 'a test' },
    })
    expect(problemOf(answer)).toEqual([400, 'JUNCTURA_PARAMETER_INVALID', parameter])
    expect(runtime.operators).toEqual([])
  })
})
