export * from './retry-policy.ts'
export * from './token-bucket.ts'
export * from './outage-gate.ts'
export * from './cron.ts'
