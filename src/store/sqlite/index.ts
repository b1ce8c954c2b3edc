export * from './repair.ts'
export * from './sqlite-store.ts'
export * from './user-tables.ts'
