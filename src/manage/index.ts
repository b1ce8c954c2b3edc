export * from './listener.ts'
export * from './management-api.ts'
export * from './manage-request.ts'
