export * from './cli-io.ts'
export * from './main.ts'
