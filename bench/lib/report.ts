import Table from 'cli-table3'

/** One measured number, with what it is held against. Ratios have the unit `x`. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly better: 'higher' | 'lower'
  /** What the value must reach, in its own unit. */
  readonly atLeast?: number
  readonly aim?: number
  /** Who did the same work in the same run, and what it reached, in `peerUnit` terms of the text. */
  readonly peer?: string
  readonly peerValue?: number
  /** Half of the range of the repetitions over their median. For people only. */
  readonly spread?: number
  /** Anything that the number can not say. For people only. */
  readonly note?: string
}

const rounded = (value: number): number =>
  Number.isFinite(value) ? Number(value.toPrecision(Math.abs(value) >= 1000 ? 6 : 4)) : value

/** One JSON line: the agreed members, absent where there is none; a value that could not be measured is null. */
export function figureLine(figure: Figure): string {
  const { name, value, unit, better, atLeast, aim, peer, peerValue } = figure
  const line: Record<string, unknown> = { name, value: Number.isFinite(value) ? rounded(value) : null, unit, better }
  if (atLeast !== undefined) line['atLeast'] = atLeast
  if (aim !== undefined) line['aim'] = aim
  if (peer !== undefined) line['peer'] = peer
  if (peerValue !== undefined) line['peerValue'] = rounded(peerValue)
  return JSON.stringify(line)
}

/** Whether `value` is on the right side of `bound`. */
export function reaches(figure: Figure, bound: number): boolean {
  return figure.better === 'higher' ? figure.value >= bound : figure.value <= bound
}

function verdict(figure: Figure): string {
  if (!Number.isFinite(figure.value)) return 'not measured'
  if (figure.aim !== undefined && reaches(figure, figure.aim)) return 'aim'
  if (figure.atLeast === undefined) return ''
  return reaches(figure, figure.atLeast) ? 'at least' : 'below'
}

const plain = (value: number | undefined): string => {
  if (value === undefined) return ''
  return Number.isFinite(value) ? rounded(value).toLocaleString('en-US', { maximumFractionDigits: 3 }) : '-'
}

export function figureTable(figures: readonly Figure[]): string {
  const table = new Table({ head: ['figure', 'value', '±', 'unit', 'at least', 'aim', 'reached', 'peer'], style: { head: [], border: [] } })
  for (const f of figures) {
    table.push([
      f.name, plain(f.value), f.spread === undefined ? '' : `${(f.spread * 100).toFixed(0)}%`, f.unit,
      plain(f.atLeast), plain(f.aim), verdict(f), f.peer === undefined ? '' : `${f.peer}: ${plain(f.peerValue)}`,
    ])
  }
  const notes = figures.filter((f) => f.note !== undefined).map((f) => `${f.name}: ${f.note}`)
  return [table.toString(), ...notes].join('\n')
}
