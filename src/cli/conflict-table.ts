import type { QueryAnswer, QueryReply, QuerySide } from '../client/http.ts'
import type { CutName } from '../wire/query-reply.codec.ts'
import type { Console } from './console.ts'
import { tableText } from './table.ts'
import { objectText, printable, shortId, type ShowId } from './words.ts'

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

/** Below this a part of the whole is rounding. */
const SHARE_LEFT_MIN = 0.001

/** A column, and what it says of a side: nothing where the lens does not know it. */
const COLUMNS: readonly (readonly [head: string, cell: (side: QuerySide) => string])[] = [
  ['side', ({ label, winner }) => {
    const value = winner === null ? '(none)' : objectText(winner.assertion.object)
    // Where the side is a value, its label says the same as the claim.
    const side = printable(label)
    return side === value || side === '' ? value : winner === null ? side : `${side}: ${value}`
  }],
  ['share', ({ share }) => barOf(share)],
  ['', ({ share, weight }) => (share > 0 || weight > 0 ? percent(share) : '')],
  ['weight', ({ weight }) => (weight > 0 ? figure(weight) : '')],
  ['claims', ({ candidates }) => String(candidates)],
  ['sources', ({ sources }) => (sources > 0 ? String(sources) : '')],
  ['conflict', ({ conflict }) => (conflict === undefined ? '' : figure(conflict))],
  ['best source', ({ winner }) => printable(winner?.assertion.source_class ?? '')],
  // Where its agent has made another one of it than it was asserted with.
  ['lifecycle', ({ winner }) => printable(winner?.effective_lifecycle ?? '')],
]

/** What the sides that are shown leave of the whole, where a lens tells of its winner's only. */
function othersOf({ sides = [], candidates }: QueryAnswer): QuerySide[] {
  const sum = (of: (side: QuerySide) => number): number => sides.reduce((total, side) => total + of(side), 0)
  const share = sum((side) => side.share)
  const claims = candidates - sum((side) => side.candidates)
  if (!(share > 0) || 1 - share < SHARE_LEFT_MIN || claims < 1) return []
  return [{ label: '(all others)', weight: sum((side) => side.weight) * (1 - share) / share, share: 1 - share, candidates: claims, sources: 0, winner: null, why: '' }]
}

/** What an answer is about. */
const nameOf = ({ subject, predicate }: QueryAnswer): string => [subject, predicate].filter((name) => name !== '').map(printable).join('  ')

/** All sides of one answer, by rank, with a bar for the part of each, and what they come to together. */
export async function conflictTable(answer: QueryAnswer, console: Pick<Console, 'columns'> = {}): Promise<string> {
  const rows = [...(answer.sides ?? []), ...othersOf(answer)].map((side) => COLUMNS.map(([, cell]) => cell(side)))
  const used = COLUMNS.map((_, i) => rows.some((row) => row[i] !== ''))
  const isUsed = (_: unknown, i: number): boolean => used[i]!
  const table = await tableText({ head: COLUMNS.map(([head]) => head).filter(isUsed), rows: rows.map((row) => row.filter(isUsed)) }, console)
  return `${summaryOf(answer)}\n${table}`
}

/** What all sides come to together, in a line. */
function summaryOf(answer: QueryAnswer): string {
  const { status, conflict, certainty } = answer
  return [
    nameOf(answer), status === undefined ? undefined : printable(status), conflict === undefined ? undefined : `conflict ${figure(conflict)}`,
    certainty === undefined ? undefined : `certainty ${figure(certainty)}`,
  ].filter((part) => part !== undefined).join('  ')
}

const valueOf = (side: QuerySide | undefined): string =>
  side === undefined ? '' : side.winner === null ? printable(side.label) : objectText(side.winner.assertion.object)

/** Rules in force, those that belong together in one row, and behind them what they have overruled. */
export async function rulesTable(answer: QueryAnswer, console: Pick<Console, 'columns'> = {}): Promise<string> {
  const { sides = [], rule_rows: ruleRows = [], rule_conflicts: conflicts = [] } = answer
  const rows = ruleRows.map(({ must_use: mustUse, forbidden, reason = '' }) => {
    const rules = [mustUse, forbidden].flatMap((place) => (place === undefined ? [] : sides[place] ?? []))
    const each = (cell: (side: QuerySide) => string): string => rules.map(cell).join(' / ')
    return [
      valueOf(sides[mustUse ?? -1]), valueOf(sides[forbidden ?? -1]), objectText({ type: 'text', value: reason }), each(({ weight }) => figure(weight)),
      each(({ candidates }) => String(candidates)), each(({ winner }) => printable(winner?.assertion.source_class ?? '')),
    ]
  })
  const table = await tableText({ head: ['must use', 'forbidden', 'reason', 'weight', 'claims', 'best source'], rows }, console)
  return [summaryOf(answer), table, ...conflicts.map(({ overruled }) => printable(overruled.why))].join('\n')
}

const CUT_TEXTS: Readonly<Record<CutName, string>> = {
  candidates: 'only the newest candidates were looked at',
  records: 'of votes, outcomes or epochs only the newest were looked at',
  aliases: 'not all aliases of the subject were followed',
}

/** What was not looked at in full, because a bound was met; nothing where nothing was cut. */
export function cutLines({ answers, cut = [] }: Pick<QueryReply, 'answers' | 'cut'>): string[] {
  // A newer node may cut what is not known here.
  const text = (name: CutName): string => (CUT_TEXTS as Readonly<Record<string, string>>)[name] ?? printable(name)
  return [
    ...cut.map((name) => `Cut: ${text(name)}.`),
    ...answers.flatMap(({ subject, predicate, cut: own = [] }) => own.map((name) => `Cut, ${printable(subject)} ${printable(predicate)}: ${text(name)}.`)),
  ]
}

export interface ExplanationView {
  /** Other answers are explained beside it: each has a heading. */
  readonly isOneOfMany?: boolean
  readonly showId?: ShowId
  /** Objects of candidates, as far as they are known, by id. */
  readonly values?: ReadonlyMap<string, string>
}

/** What became of each candidate, and what it cost to say so; nothing where nobody asked. */
export function explanationLines(answer: QueryAnswer, { isOneOfMany = false, showId = shortId, values = new Map() }: ExplanationView = {}): string[] {
  if (answer.explanation === undefined) return []
  const { considered, truncated, entries_read: entries, claims_read: claims, index_us: index, read_us: read, resolve_us: resolve } = answer.explanation
  return [
    ...(isOneOfMany ? [nameOf(answer)] : []),
    ...considered.map(({ id, verdict, weight, why }) => {
      const value = values.has(id) ? `${values.get(id)!}  ` : ''
      return `  ${printable(verdict.replace('_', ' ')).padEnd(8)} ${showId(id)}  ${weight > 0 ? figure(weight).padEnd(6) : '      '} ${value}${printable(why)}`
    }),
    ...(truncated ? [`  and more than these ${considered.length}`] : []),
    `  ${entries} entries and ${claims} claims read; index ${index} µs, reading ${read} µs, lens ${resolve} µs`,
  ]
}
