export * from './sqlite-store.ts'
export * from './user-tables.ts'
