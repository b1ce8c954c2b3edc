/** The files of a new project: an integration small enough to read at once, that runs as it is. */
export interface NewProject {
  readonly name: string
  /** Of junctura, as npm takes it. */
  readonly juncturaVersion: string
  /** Whether the project brings its own Node, because this machine's is too old to start with. */
  readonly bringsNode: boolean
}

export const renderProject = (project: NewProject): Readonly<Record<string, string>> => ({
  'package.json': `${JSON.stringify(manifestOf(project), undefined, 2)}\n`,
  'tsconfig.json': `${JSON.stringify(TSCONFIG, undefined, 2)}\n`,
  '.gitignore': 'node_modules/\n.junctura/\n',
  'integration.ts': INTEGRATION.replaceAll('NAME', project.name),
  'README.md': readmeOf(project),
})

const manifestOf = ({ name, juncturaVersion, bringsNode }: NewProject): object => ({
  name,
  private: true,
  type: 'module',
  scripts: {
    dev: 'junctura dev integration.ts',
    start: 'junctura start integration.ts',
    check: 'junctura doctor integration.ts',
    test: 'junctura test integration.ts',
  },
  junctura: { integration: 'integration.ts' },
  dependencies: {
    junctura: juncturaVersion,
    ...(bringsNode && { node: '^24' }),
  },
})

const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    types: [],
  },
  include: ['*.ts'],
}

const INTEGRATION = `import {
  consumer,
  event,
  header,
  integration,
  jsonSchema,
  secret,
  sql,
  standardWebhooks,
  system,
  team,
  webhook,
} from 'junctura'

const shop = team('shop')
const partner = system('partner')

interface Order {
  orderId: string
  status: 'placed' | 'paid' | 'shipped'
}

const orderSchema = jsonSchema<Order>({
  type: 'object',
  properties: {
    orderId: { type: 'string', minLength: 1, maxLength: 64 },
    status: { enum: ['placed', 'paid', 'shipped'] },
  },
  required: ['orderId', 'status'],
})

/** What the partner sends, in the partner's words. */
const partnerOrder = event('partner.order', {
  owner: shop,
  key: 'orderId',
  versions: { 1: orderSchema },
})

/** What happened, in our words. */
const orderChanged = event('orders.changed', {
  owner: shop,
  key: 'orderId',
  versions: { 1: orderSchema },
})

const orders = webhook('orders', {
  from: partner,
  path: '/webhooks/orders',
  // In use while ORDERS_WEBHOOK_SECRET is unset, and refused when NODE_ENV is production.
  verify: standardWebhooks({
    secret: secret.env('ORDERS_WEBHOOK_SECRET', {
      development: 'whsec_ZGV2ZWxvcG1lbnQtb25seS1ub3QtYS1zZWNyZXQ=',
    }),
  }),
  accepts: partnerOrder,
  retriesFor: '3d',
  idempotency: { key: header('webhook-id'), retention: '7d' },
  emit: (order) => orderChanged.of({ orderId: order.orderId, status: order.status }),
})

const ledger = consumer('ledger', {
  owner: shop,
  on: orderChanged,
  idempotency: 'transaction',
  retry: { attempts: 5, first: '1s', factor: 2, max: '1m' },
  deadLetter: { alert: shop.oncall },
  afterDeadLetter: 'park',
  replay: 'safe',
  async handle(order, ctx) {
    // The row, and that this message is done, commit together: once, whatever happens.
    await ctx.tx(async (db) => {
      await db.run(
        'insert into ledger (order_id, status, message_id) values ($1, $2, $3)',
        order.orderId,
        order.status,
        ctx.message.id,
      )
    })
  },
})

export default integration('NAME', {
  parts: [orders, ledger],
  tables: [
    sql({
      sqlite: \`create table ledger (
        seq integer primary key, order_id text not null, status text not null, message_id text not null
      )\`,
      postgres: \`create table ledger (
        seq bigint generated always as identity primary key,
        order_id text not null, status text not null, message_id text not null
      )\`,
    }),
  ],
})
`

const readmeOf = ({ name }: NewProject): string => `# ${name}

A webhook that is verified, deduplicated and stored before it is answered, and one consumer that
writes each order once.

\`\`\`
npm install
npm run dev
\`\`\`

In a second terminal:

\`\`\`
npx junctura send orders --dup 5     # one accepted, four duplicates
npx junctura tail --last 20          # what happened
npx junctura consumers               # how far each consumer is
npx junctura send orders --invalid signature
\`\`\`

Break the handler in \`integration.ts\` (throw an error), send again, and look:

\`\`\`
npx junctura dlq groups
npx junctura dlq retry --cause CAUSE # after mending it
\`\`\`

\`npm test\` tries what the declaration promises: forged and repeated requests, every retry, a crash at
the worst moment.

Set \`ORDERS_WEBHOOK_SECRET\` to the secret of your partner before anything real. What is accepted
lives in \`.junctura/junctura.db\`.
`
