import type { QueryAnswer, QuerySide } from '../client/http.ts'
import { objectText, printable } from './words.ts'

/** Characters of a whole bar. */
const BAR_CHARACTERS = 20
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A part of a whole (0..1) as a bar of `width` characters at most; what is not nothing shows. */
export function barOf(part: number, width = BAR_CHARACTERS): string {
  if (!(part > 0)) return ''
  const eighths = Math.max(1, Math.round(Math.min(1, part) * width * 8))
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]
}

const percent = (part: number): string => `${Math.round(part * 100)}%`
const figure = (value: number): string => String(Math.round(value * 1000) / 1000)

function rowOf({ label, winner, weight, share, candidates, sources, conflict }: QuerySide): string[] {
  const claim = winner?.assertion
  const value = claim === undefined ? '(none)' : objectText(claim.object)
  // Where the side is a value, its label says the same as the claim.
  const side = printable(label)
  return [
    side === value ? value : `${side}${side === '' ? '' : ': '}${value}`, barOf(share), percent(share), figure(weight), String(candidates), sources > 0 ? String(sources) : '',
    conflict === undefined ? '' : figure(conflict), claim?.source_class ?? '',
  ]
}

/** All sides of one answer, by rank, with a bar for the weight of each, and what they come to together. */
export async function conflictTable(answer: QueryAnswer): Promise<string> {
  const { default: Table } = await import('cli-table3')
  const table = new Table({
    head: ['side', 'weight', 'share', '', 'claims', 'sources', 'conflict', 'best source'], style: { head: [], border: [], compact: true }, wordWrap: false,
  })
  for (const side of answer.sides ?? []) table.push(rowOf(side))
  const { subject, predicate, status, conflict, certainty } = answer
  const summary = [
    `${printable(subject)}  ${printable(predicate)}`, status, conflict === undefined ? undefined : `conflict ${figure(conflict)}`,
    certainty === undefined ? undefined : `certainty ${figure(certainty)}`,
  ].filter((part) => part !== undefined)
  return `${summary.join('  ')}\n${table.toString()}`
}

/** What became of each candidate, and what it cost to say so; nothing where nobody asked. */
export function explanationLines({ explanation }: QueryAnswer): string[] {
  if (explanation === undefined) return []
  const { considered, truncated, entries_read: entries, claims_read: claims, index_us: index, read_us: read, resolve_us: resolve } = explanation
  return [
    ...considered.map(({ id, verdict, weight, why }) =>
      `  ${verdict.replace('_', ' ').padEnd(8)} ${id.slice(0, 12)}  ${weight > 0 ? figure(weight).padEnd(6) : '      '} ${printable(why)}`),
    ...(truncated ? [`  and more than these ${considered.length}`] : []),
    `  ${entries} entries and ${claims} claims read; index ${index} µs, reading ${read} µs, lens ${resolve} µs`,
  ]
}
