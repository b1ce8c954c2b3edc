import type { Integration } from '../contract/index.ts'
import { isJuncturaError, type Kernel, messageOf } from '../kernel/index.ts'
import { openTopic } from '../source/index.ts'
import { type Check, fail, ok, warn } from './doctor-check.ts'

/** Asks the broker of each topic what is there and what it survives; changes nothing there. */
export const checkTopics = async (
  kernel: Kernel,
  { topics }: Pick<Integration, 'topics'>,
): Promise<readonly Check[]> => {
  const checks: Check[] = []
  for (const source of topics) checks.push(...(await checkTopic(kernel, source)))
  return checks
}

async function checkTopic(
  kernel: Kernel,
  source: Integration['topics'][number],
): Promise<readonly Check[]> {
  const name = `topic ${source.name}`
  const topic = await openTopic(source, kernel).catch((error: unknown) => [failed(name, error)])
  if ('length' in topic) return topic
  try {
    await topic.inspect()
    const { survives, settings, problems } = await topic.describe()
    const { engine, resource } = source
    return [
      ok(name, `${engine} ${resource}: what waits there survives as "${survives}" (${settings})`),
      ...problems.map(({ severity, resource: which, problem, fix }) =>
        (severity === 'error' ? fail : warn)(name, `${which}: ${problem}`, fix),
      ),
    ]
  } catch (error) {
    return [failed(name, error)]
  } finally {
    await topic.close()
  }
}

const failed = (name: string, error: unknown): Check => {
  if (!isJuncturaError(error)) return fail(name, messageOf(error), 'Look at the cause.')
  const { fix } = error.details
  return fail(
    name,
    `${error.message} (${error.code})`,
    typeof fix === 'string' ? fix : error.advice,
  )
}
