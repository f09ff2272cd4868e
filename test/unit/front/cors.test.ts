import t from 'tap'
import { claimJson, startFront } from './front-under-test.ts'

const OURS = 'https://app.example'
const OTHERS = 'https://evil.example'

function corsOf(headers: Headers): Record<string, string> {
  const fields: Record<string, string> = {}
  headers.forEach((value, name) => {
    if (name.startsWith('access-control-') || name === 'vary') fields[name] = value
  })
  return fields
}

t.test('by default no page of another origin may read anything', async (t) => {
  const { http } = await startFront(t)
  t.strictSame(corsOf((await fetch(`${http}/v1/health`, { headers: { origin: OURS } })).headers), {})
  t.strictSame(corsOf((await fetch(`${http}/v1/assert`, { method: 'OPTIONS', headers: { origin: OURS, 'access-control-request-method': 'POST' } })).headers), {})
})

t.test('an origin that is named reads answers and problems; others do not', async (t) => {
  const { http } = await startFront(t, { corsOrigins: `${OURS}, http://127.0.0.1:5173` })
  for (const path of ['/v1/query?subject=a', '/v1/query?nonsense=1', '/v1/proofs/nothing', `/v1/assertions/${'0'.repeat(64)}`]) {
    for (const origin of [OURS, 'http://127.0.0.1:5173']) {
      t.match(corsOf((await fetch(http + path, { headers: { origin } })).headers), {
        'access-control-allow-origin': origin, 'access-control-expose-headers': /\betag\b.*\bx-request-id\b/, vary: /origin/,
      }, path)
    }
    for (const headers of [{ origin: OTHERS }, { origin: `${OURS}.evil.example` }, { origin: 'null' }, {}]) {
      t.strictSame(corsOf((await fetch(http + path, { headers })).headers), { vary: 'origin' }, `${path} from ${JSON.stringify(headers)}`)
    }
  }
  const stored = await fetch(`${http}/v1/assert`, { method: 'POST', headers: { origin: OURS, 'content-type': 'application/json' }, body: JSON.stringify(claimJson()) })
  t.equal(stored.status, 201)
  t.equal(stored.headers.get('access-control-allow-origin'), OURS)
  const preflight = await fetch(`${http}/v1/assert`, { method: 'OPTIONS', headers: { origin: OURS, 'access-control-request-method': 'POST' } })
  t.equal(preflight.status, 204)
  t.match(corsOf(preflight.headers), {
    'access-control-allow-origin': OURS, 'access-control-allow-methods': 'POST, OPTIONS', 'access-control-allow-headers': /content-type/, 'access-control-max-age': /^\d+$/,
  })
  t.notOk((await fetch(`${http}/v1/assert`, { method: 'OPTIONS', headers: { origin: OTHERS } })).headers.has('access-control-allow-origin'))
  for (const path of ['/livez', '/metrics', '/openapi.json']) t.strictSame(corsOf((await fetch(http + path, { headers: { origin: OURS } })).headers), {}, `${path} is none of theirs`)
})

t.test('with * every page does', async (t) => {
  const { http } = await startFront(t, { corsOrigins: '*' })
  t.match(corsOf((await fetch(`${http}/v1/query?subject=a`, { headers: { origin: OTHERS } })).headers), { 'access-control-allow-origin': '*' })
})
