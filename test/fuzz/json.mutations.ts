import { pick, type Mutation } from './mutations.ts'

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s"[\]{}:,]+|\s+/gsu

/** What parsers read in two ways, what prototypes listen to, and the edges of numbers. */
const TOKENS = ['{', '}', '[', ']', ':', ',', 'null', 'true', 'false', '0', '-0', '1', '-1', '1e400', '-1e400', '1e-400', '9007199254740993', '0.1', '1E5', '01', '+1', '.5',
  'NaN', 'Infinity', '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\udca7"', '"\\u0061"', '"a"', '"__proto__"', '"constructor"', '"prototype"', '"toString"',
  '{"__proto__":{"x":1}}', '{"constructor":{"prototype":{"x":1}}}', '[[[[[[[[[[', ']]]]]]]]]]', ' ', '\t', '\u00a0', '\ufeff', '//', '"\u2028"', '1'.repeat(400), `"${'x'.repeat(5000)}"`,
  '"subject"', '"object"', '"agent"', '"signature"', '"vector"', '"asserted_at"', '"2026-02-30T00:00:00Z"', '"9999-12-31T23:59:59.999999999+23:59"']

const tokensOf = (bytes: Uint8Array): string[] => new TextDecoder().decode(bytes).match(TOKEN) ?? []
const joined = (tokens: readonly string[]): Uint8Array => new TextEncoder().encode(tokens.join(''))

/** What may stand where a value is, so that more is taken and the rules behind the syntax are reached. */
const VALUES = ['0', '1', '0.5', '-0', '5', '1700000000000', '9007199254740991', '1e308', 'true', 'false', 'null', '"a"', '"drug/aspirin"', '"a//b"', '"/"', '"caf\u00e9"', '"cafe\u0301"',
  '"clinical"', '"retracted"', '"2026-02-28T23:59:59.999-23:59"', `"${'0f'.repeat(32)}"`, `"${'F0'.repeat(32)}"`, '[]', '[0]', '[1,-2.5]', '[3.5e38]', '{"type":"text","value":"x"}',
  '{"type":"number","value":0}', '{"type":"boolean","value":false}', '{"type":"reference","value":"a/b"}', '{"type":"text","value":null}', `"${'x'.repeat(1024)}"`, `"${'x'.repeat(1025)}"`]

/** Works on tokens, so that most offspring are still JSON, or nearly. */
export const JSON_MUTATIONS: readonly Mutation[] = [
  (bytes, random) => {
    const tokens = tokensOf(bytes)
    if (tokens.length > 0) tokens[random.u32() % tokens.length] = pick(TOKENS, random)
    return joined(tokens)
  },
  (bytes, random) => {
    const tokens = tokensOf(bytes)
    tokens.splice(random.u32() % (tokens.length + 1), 0, pick(TOKENS, random))
    return joined(tokens)
  },
  (bytes, random) => {
    const tokens = tokensOf(bytes)
    tokens.splice(random.u32() % (tokens.length + 1), 1 + random.u32() % 3)
    return joined(tokens)
  },
  ...Array.from({ length: 4 }, (): Mutation => (bytes, random) => {
    const tokens = tokensOf(bytes)
    const colons = tokens.flatMap((token, i) => (token === ':' && i + 1 < tokens.length ? [i] : []))
    if (colons.length > 0) tokens[pick(colons, random) + 1] = pick(VALUES, random)
    return joined(tokens)
  }),
  // A stretch once more: a member twice.
  (bytes, random) => {
    const tokens = tokensOf(bytes)
    const from = random.u32() % (tokens.length + 1)
    tokens.splice(from, 0, ...tokens.slice(from, from + 1 + random.u32() % 8))
    return joined(tokens.slice(0, 5000))
  },
  (bytes, random, other) => {
    const [tokens, others] = [tokensOf(bytes), tokensOf(other)]
    if (tokens.length > 0 && others.length > 0) tokens[random.u32() % tokens.length] = pick(others, random)
    return joined(tokens)
  },
]

/** For any other text: a piece of it replaced by one of these. */
export function textMutation(pieces: readonly string[]): Mutation {
  return (bytes, random) => {
    const from = random.u32() % (bytes.length + 1)
    const to = Math.min(bytes.length, from + random.u32() % 4)
    return Buffer.concat([bytes.subarray(0, from), new TextEncoder().encode(pick(pieces, random)), bytes.subarray(to)])
  }
}
