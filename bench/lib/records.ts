import { seededRandom, type Random } from '../../src/base/random.ts'

/** One claim as the peers get it: about 300 bytes of content, no two alike. */
export interface PlainRecord {
  readonly id: string
  readonly subject: string
  readonly predicate: string
  readonly object: string
  readonly confidence: number
  readonly sourceClass: number
  readonly sourceHash: string
  readonly agent: string
  readonly assertedAtMs: number
  readonly note: string
}

const PREDICATES = ['has_side_effect', 'interacts_with', 'recommended_dose', 'contraindicated_in', 'approved_for', 'half_life']

/** `bytes` random bytes as hex. */
export function randomHex(random: Random, bytes: number): string {
  let text = ''
  while (text.length < bytes * 2) text += random.u32().toString(16).padStart(8, '0')
  return text.slice(0, bytes * 2)
}

/** An endless sequence of records; one seed gives one sequence. */
export function* plainRecords(seed: number): Generator<PlainRecord, never> {
  const random = seededRandom(seed)
  const agent = randomHex(random, 32)
  for (let i = 0; ; i++) {
    yield {
      id: randomHex(random, 32),
      subject: `drug/compound-${random.u32() % 1_000_000}/trial/${random.u32() % 1000}`,
      predicate: PREDICATES[random.u32() % PREDICATES.length]!,
      object: `observed in ${random.u32() % 100_000} of ${random.u32()} patients, see table ${i}`,
      confidence: (random.u32() % 1001) / 1000,
      sourceClass: random.u32() % 6,
      sourceHash: randomHex(random, 32),
      agent,
      assertedAtMs: 1_750_000_000_000 + i,
      note: `imported row ${i} of run ${seed}`,
    }
  }
}
