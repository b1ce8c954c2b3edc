export * from './retry-policy.ts'
export * from './token-bucket.ts'
