import { expectKept, holds } from './contract-case.ts'
import {
  describeAnswer,
  expectAccepted,
  expectRepeat,
  type WebhookSubject,
} from './webhook-subject.ts'
import type { WebhookCase } from './webhook-cases.ts'
import { type DeathPoint, supervise, type TestAnswer } from './test-bench.ts'

/**
 * The process dies over a request. An answer of success is a promise: what it was given for must
 * be there afterwards. Without one the partner sends again.
 */
export const DURABILITY_CASE: WebhookCase = {
  case: 'acknowledgement',
  label: 'acknowledgement',
  async run(subject) {
    await dieAndSendAgain(subject, 'before-commit')
    await dieAndSendAgain(subject, 'after-commit')
    return holds('A process that dies before or after its commit loses nothing: no answer came.')
  },
}

async function dieAndSendAgain(subject: WebhookSubject, point: DeathPoint): Promise<void> {
  const { body } = await subject.goodBody()
  const world = await subject.open()
  const { bench } = world
  const plan = { body, id: 'ct-acknowledged' }
  bench.dieAt(point)
  const answer = await bench.send(subject.partner.request(bench.clock, plan))
  // What comes after an answer is the same process still, until it dies.
  if (answer) await bench.pass(1_000)
  expectKept(bench.deaths === 1, 'No commit was made for the request.')
  expectKept(await supervise(bench), 'No process stays up after the crash.')
  const head = await bench.head()
  expectKept(
    !isSuccess(answer) || head > 0,
    `It answered ${answer ? describeAnswer(answer) : ''} before its commit; the process died, and the message is lost.`,
  )
  const again = await world.ask(plan)
  const when = `To a request sent again, after the process died ${point.replace('-', ' the ')} of the first,`
  if (point === 'before-commit') {
    await expectAccepted(subject, world, { answer: again, when, headBefore: head })
  } else await expectRepeat(subject, world, { answer: again, when, headBefore: head })
}

const isSuccess = (answer: TestAnswer | undefined): boolean =>
  answer !== undefined && answer.status >= 200 && answer.status < 300
