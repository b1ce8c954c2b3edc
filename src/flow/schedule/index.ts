export * from './due-times.ts'
export * from './schedule-keeper.ts'
