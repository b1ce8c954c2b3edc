export * from './layout-sql.ts'
export * from './postgres-store.ts'
