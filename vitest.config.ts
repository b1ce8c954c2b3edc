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
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ['**/*.int.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'int',
          include: [
            'src/**/*.int.test.ts',
            'test/{package,suites,chaos,simulation,pages}/**/*.test.ts',
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
