import { agentFromText, agentToDidKey } from '../../src/record/agent-key.ts'
import { assertionFromJson, assertionToJson } from '../../src/record/assertion.json.ts'
import { claimBytesOf } from '../../src/record/claim.ts'
import { parseStrictJson } from '../../src/record/strict-json.ts'
import type { FuzzTarget } from './fuzzer.ts'
import { JSON_MUTATIONS, textMutation } from './json.mutations.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const AGENT = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'

/** Every member. */
export const FULL = {
  subject: 'drug/aspirin/safety', predicate: 'has_risk', object: { type: 'number', value: 96.7 }, confidence: 0.5, source_class: 'clinical',
  source_hash: '00'.repeat(32), source_uri: 'doi:10.1/2', lifecycle: 'approved', epoch: '11'.repeat(32), parent: '22'.repeat(32), agent: `did:key:${agentToDidKey(new Uint8Array(32)).slice(8)}`,
  asserted_at: '2026-01-31T12:00:00.5+01:00', note: 'a \u00e9 note', vector: [1, -2.5e-3],
}

const strictJsonTarget: FuzzTarget = {
  name: 'strict-json',
  seeds: () => ['{"a":[1,-2.5e3,"x\\n\\u00e9",null],"b":{"c":true}}', '"\\ud83d\\udca7"', '[[[[]]],{}]', JSON.stringify(FULL)].map(encode),
  mutations: JSON_MUTATIONS,
  run(input) {
    const text = decode(input)
    const ours = parseStrictJson(text)
    // It is stricter than the platform's parser, and never sees anything else.
    if (JSON.stringify(ours) !== JSON.stringify(JSON.parse(text))) throw new Error('JSON.parse sees something else')
    return true
  },
}

const assertionJsonTarget: FuzzTarget = {
  name: 'assertion-json',
  seeds: () => [FULL, { subject: 'a', predicate: 'b', object: 'c', confidence: 1, agent: AGENT, asserted_at: 5 }].map((value) => encode(JSON.stringify(value))),
  mutations: JSON_MUTATIONS,
  run(input) {
    const assertion = assertionFromJson(parseStrictJson(decode(input)), '/0')
    const back = assertionFromJson(parseStrictJson(JSON.stringify(assertionToJson(assertion))))
    if (!Buffer.from(claimBytesOf(back)).equals(claimBytesOf(assertion))) throw new Error('JSON there and back is another claim')
    return true
  },
}

const agentKeyTarget: FuzzTarget = {
  name: 'agent-key',
  seeds: () => [AGENT, agentToDidKey(new Uint8Array(32)), agentToDidKey(new Uint8Array(32).fill(255))].map(encode),
  mutations: [textMutation(['did:key:z6Mk', '1', 'z', '0', 'O', 'I', 'l', 'f', 'F', '\u00e9', ' '])],
  run(input) {
    const text = decode(input)
    const key = agentFromText(text)
    if (key === undefined) return false
    const same = text.startsWith('did:') ? agentToDidKey(key) : Buffer.from(key).toString('hex')
    if (same !== (text.startsWith('did:') ? text : text.toLowerCase())) throw new Error('two texts for one key')
    return true
  },
}

export const jsonTargets: readonly FuzzTarget[] = [strictJsonTarget, assertionJsonTarget, agentKeyTarget]
