/** JSON texts that write to prototypes where a program copies members without looking. `{}` stands for what a claim would hold. */
const PAYLOADS = [
  '"__proto__":{"polluted":"yes","confidence":0.5,"httpStatus":200}', '"constructor":{"prototype":{"polluted":"yes"}}', '"__proto__":null', '"__proto__":[]', '"__proto__":"x"',
  '"\\u005f\\u005fproto\\u005f\\u005f":{"polluted":"yes"}', '"prototype":{"polluted":"yes"}', '"__defineGetter__":1', '"__proto__":{"__proto__":{"polluted":"yes"}}',
  '"constructor":{"__proto__":{"polluted":"yes"}}', '"toString":"x"', '"hasOwnProperty":1', '"valueOf":1', '"__proto__":{"subject":"a","predicate":"b","object":1,"agent":"c"}',
]

/** Each of the payloads in every place of a claim where a member may stand. @param claim JSON of a claim that is right. */
export function pollutedClaims(claim: Readonly<Record<string, unknown>>): string[] {
  const text = JSON.stringify(claim)
  const { object: _object, ...rest } = claim
  const without = JSON.stringify(rest).slice(1, -1)
  return PAYLOADS.flatMap((payload) => [
    `{${payload},${text.slice(1)}`, `${text.slice(0, -1)},${payload}}`, `{${payload}}`, `[{${payload}}]`,
    `{"object":{"type":"text","value":"x",${payload}},${without}}`, `{"object":{${payload}},${without}}`, `{"vector":[{${payload}}],${text.slice(1)}`,
    `{"signature":{${payload}},${text.slice(1)}`, `{"note":{${payload}},${text.slice(1)}`,
  ])
}
