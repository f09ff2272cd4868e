import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { SCHEMA } from '../../../src/fbs/schema.ts'
import * as acksLayout from '../../../src/front/acks.layout.ts'
import { SUBPROTOCOL } from '../../../src/front/frames.codec.ts'
import { openapiDocument } from '../../../src/front/openapi.ts'
import { ROUTES, STREAM_PATH, matchRoute } from '../../../src/front/routes.ts'
import { PROOF_SCHEMAS } from '../../../src/front/schemas-proofs.ts'
import { SCHEMAS } from '../../../src/front/schemas.ts'
import { HTTP_STATUSES } from '../../../src/observe/metrics.ts'
import { repoRoot } from '../../support/root.ts'

const doc = (path: string): string => readFileSync(join(repoRoot, 'docs', path), 'utf8')

type Tree = Record<string, unknown>

/** Every `$ref` in a document. */
function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' ? [String(inner)] : refsIn(inner)))
}

function resolve(root: unknown, ref: string): unknown {
  return ref.replace(/^#\//, '').split('/').reduce<unknown>((at, step) => (at as Tree | undefined)?.[step], root)
}

interface OperationObject {
  operationId: string
  parameters?: { name: string, in: string }[]
  responses: Record<string, { description: string, content?: Tree }>
}

t.test('openapi.json: every route is documented, every documented route exists, every reference leads somewhere', async (t) => {
  const document = openapiDocument('1.2.3') as { openapi: string, paths: Record<string, Record<string, OperationObject>> }
  t.equal(document.openapi, '3.1.0')
  const documented = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })))
  t.strictSame(
    documented.map(({ path, method, operation }) => `${method.toUpperCase()} ${path} ${operation.operationId}`).sort(),
    // OpenAPI has no name for parameters with slashes.
    ROUTES.map(({ path, method, operationId }) => `${method} ${path.replace('...}', '}')} ${operationId}`).sort(),
  )
  for (const { path, method, operation } of documented) {
    const match = matchRoute(method.toUpperCase(), path)
    t.equal(match.kind === 'found' && match.route.operationId, operation.operationId)
    const inPath = operation.parameters?.filter((parameter) => parameter.in === 'path').map(({ name }) => name) ?? []
    t.strictSame(inPath, match.kind === 'found' ? Object.keys(match.parameters) : [])
    t.ok(Object.keys(operation.responses).every((status) => /^[1-5]\d\d$/.test(status)))
  }
  const refs = refsIn(document)
  t.ok(refs.length > 20)
  for (const ref of new Set(refs)) t.ok(resolve(document, ref), ref)
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'root', components: { schemas: { ...SCHEMAS, ...PROOF_SCHEMAS } } })
  for (const name of Object.keys({ ...SCHEMAS, ...PROOF_SCHEMAS })) t.type(ajv.compile({ $ref: `root#/components/schemas/${name}` }), 'function')
})

t.test('every error that HTTP can answer with stands at some operation, under its status', async (t) => {
  const text = JSON.stringify(openapiDocument('1'))
  const elsewhere = new Set(['duplicate', 'credit_exceeded', 'data_dir_locked', 'format_unsupported', 'config_invalid', 'io_error', 'unreachable', 'proof_invalid', 'history_rewritten'])
  for (const code of Object.keys(ERROR_CODES)) {
    if (!elsewhere.has(code)) t.ok(text.includes(`\`${code}\``), code)
  }
})

t.test('http-api.md names every route and no other, and every status that a problem may have', async (t) => {
  const page = doc('reference/http-api.md')
  const named = new Set([...page.matchAll(/`(GET|POST|PUT|DELETE) (\/[^`\s]*)`/g)].map(([, method, path]) => `${method} ${path}`))
  t.strictSame([...named].sort(), ROUTES.map(({ method, path }) => `${method} ${path}`).sort())
  for (const { httpStatus } of Object.values(ERROR_CODES)) t.ok(page.includes(String(httpStatus)), String(httpStatus))
})

t.test('statuses that are answered are known to the metrics', async (t) => {
  const document = openapiDocument('1') as { paths: Record<string, Record<string, OperationObject>> }
  const answered = new Set(Object.values(document.paths).flatMap((methods) => Object.values(methods).flatMap(({ responses }) => Object.keys(responses))))
  for (const status of answered) t.ok((HTTP_STATUSES as readonly string[]).includes(status), status)
})

t.test('asyncapi.yaml agrees with the schemas and the code', async (t) => {
  const document = parse(doc('asyncapi.yaml')) as {
    asyncapi: string
    channels: { stream: { address: string, bindings: { ws: { headers: Tree } } } }
    operations: Record<string, { messages: { $ref: string }[], reply?: { messages: { $ref: string }[] } }>
    components: { messages: Record<string, { name: string, title: string }>, schemas: Record<string, { schema: { file: string, root: string, identifier: string } }> }
  }
  t.equal(document.asyncapi, '3.0.0')
  t.equal(document.channels.stream.address, STREAM_PATH)
  t.ok(JSON.stringify(document.channels.stream.bindings.ws.headers).includes(`"${SUBPROTOCOL}"`))
  for (const ref of refsIn(document)) t.ok(resolve(document, ref), ref)
  const replies = (operation: string): string[] => (document.operations[operation]!.reply?.messages ?? []).map(({ $ref }) => $ref.split('/').at(-1)!)
  t.strictSame(replies('subscribe'), ['subscribed', 'delivery', 'answerDelivery', 'heartbeat', 'subscriptionEnd'])
  t.strictSame(replies('ask'), ['queryReply', 'replies'])
  const messages = Object.values(document.components.messages)
  t.strictSame(messages.map(({ name }) => name).sort(),
    ['SACK', 'SANS', 'SBAT', 'SDLV', 'SERR', 'SHBT', 'SQRP', 'SQRQ', 'SQRR', 'SQRS', 'SRCP', 'SSBD', 'SSUB', 'SSUE', 'SUNS', 'SWEL'])
  for (const { name, title } of messages) {
    const { schema } = document.components.schemas[title]!
    t.strictSame([schema.root, schema.identifier], [title, name])
    t.equal(SCHEMA[title as 'Acks'].identifier, name, `${title} in fbs`)
    t.match(readFileSync(join(repoRoot, schema.file), 'utf8'), new RegExp(`^table ${title} [({]`, 'm'), `${title} in ${schema.file}`)
  }
})

t.test('wire-frames.md has the offsets of the code', async (t) => {
  const page = doc('formats/wire-frames.md')
  const offsets: [number, string][] = [
    [acksLayout.ACK_TABLE_REQUEST_ID, 'request_id'], [acksLayout.ACK_TABLE_FIRST_LSN, 'first_lsn'], [acksLayout.ACK_TABLE_FIRST_HLC, 'first_hlc'],
    [acksLayout.ACK_TABLE_ACCEPTED, 'accepted'], [acksLayout.ACK_TABLE_REFUSED, 'refused'], [acksLayout.ACK_TABLE_RETRY_AFTER, 'retry_after_ms'],
  ]
  for (const [offset, field] of offsets) t.match(page, new RegExp(`^\\| ${offset} \\| \\d \\| u\\d\\d \\| \`${field}\``, 'm'))
  t.match(page, new RegExp(`^\\| ${acksLayout.ACK_TABLE_DETAIL} \\| 4 \\| u32 \\| offset of \`detail\``, 'm'))
  t.match(page, new RegExp(`^\\| ${acksLayout.ACK_TABLE_OUTCOMES} \\| 4 \\| u32 \\| offset of \`outcomes\``, 'm'))
  t.match(page, `next table begins at ${acksLayout.ACK_TABLE_PLAIN_STRIDE}`)
  t.match(page, new RegExp(`^\\| then \\| ${acksLayout.ACK_VTABLE_BYTES * acksLayout.ACK_VTABLE_COUNT} \\|`, 'm'))
  const { fields } = SCHEMA.Ack
  t.strictSame(fields.map(({ name }) => name), ['request_id', 'first_lsn', 'first_hlc', 'accepted', 'refused', 'detail', 'retry_after_ms', 'outcomes'],
    'a field was added: give it a place in acks.layout.ts and wire-frames.md')
})
