import { OPERATION_ROUTES } from './operation-routes.ts'
import type { Route } from './route.ts'
import { VIEW_ROUTES } from './view-routes.ts'

/** Every route of the API, in the order of its reference page. */
export const ROUTES: readonly Route[] = [...VIEW_ROUTES, ...OPERATION_ROUTES]
