export * from './copy-out.ts'
export * from './layout-sql.ts'
export * from './postgres-store.ts'
