export * from './expectation-rows.ts'
export * from './tracker.ts'
