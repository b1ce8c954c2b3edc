import { defineConfig, type ViteUserConfig } from 'vitest/config'

const source = (path: string): string => new URL(`./src/${path}`, import.meta.url).pathname

const config: ViteUserConfig = defineConfig({
  resolve: {
    // Tests read the source, never a stale build.
    alias: [
      { find: /^junctura\/testing$/, replacement: source('testing/index.ts') },
      { find: /^junctura$/, replacement: source('index.ts') },
    ],
  },
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // A test without an assertion cannot fail.
    expect: { requireAssertions: true },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{src,tools,examples,bench}/**/*.test.ts'],
          exclude: ['**/*.int.test.ts'],
        },
      },
      {
        // What is promised does not change with a broker between the log and the consumers.
        extends: true,
        test: {
          name: 'broker',
          include: [
            'src/runtime/{attempts,crashes,dead-letters,order,promises,replays,retries}.test.ts',
          ],
          setupFiles: ['src/runtime/with-broker.fixture.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'int',
          include: [
            '{src,examples,bench}/**/*.int.test.ts',
            'test/{engines,package,suites,chaos,simulation,pages}/**/*.test.ts',
          ],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})

export default config
