export * from './embedded.ts'
export * from './transport.ts'
