export * from './expectation/index.ts'
export * from './routing/index.ts'
export * from './saga/index.ts'
export * from './schedule/index.ts'
