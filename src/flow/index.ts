export * from './expectation/index.ts'
