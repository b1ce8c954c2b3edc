export * from './catalogue.ts'
export * from './committer.ts'
export * from './store.ts'
export * from './timers.ts'
