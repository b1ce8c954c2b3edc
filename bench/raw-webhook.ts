// The raw twin of the main path: the same HTTP, HMAC, parse and compiled validation, by hand, with
// no storage and no consumers. Prints its URL.
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import orders from '../examples/orders/integration.ts'

const key = createSecretKey(
  Buffer.from('b25seSBmb3IgZGV2ZWxvcG1lbnQsIG5vdCBhIHNlY3JldA==', 'base64'),
)
const ajv = new Ajv2020({ strict: false })
formats.default(ajv)
const schema = orders.webhooks[0]?.accepts.versions.get(2)
const validate = ajv.compile(schema ?? {})

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    const { headers } = request
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.`
    const expected = createHmac('sha256', key).update(signed).update(body).digest()
    const given = Buffer.from(String(headers['webhook-signature']).slice(3), 'base64')
    const isGenuine = given.length === expected.length && timingSafeEqual(given, expected)
    const status = isGenuine && validate(JSON.parse(body.toString('utf8'))) ? 202 : 400
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': 2 })
    response.end('{}')
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}` }))
})
