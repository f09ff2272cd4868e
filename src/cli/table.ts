import type { Console } from './console.ts'

export interface TableParts {
  /** Left out: a table without a head. */
  readonly head?: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Cells that are too long go on in a next line; else they are cut. */
  readonly wrap?: boolean
}

/** Narrowest that a column is made, its padding included. */
const WIDTH_MIN = 8

/** Widths of columns whose table has at most `most` characters a line: the widest give way first. */
export function fittedWidths(widths: readonly number[], most: number): number[] {
  const fitted = [...widths]
  // Beside the columns stand lines, one more than there are columns.
  for (let over = fitted.reduce((sum, width) => sum + width + 1, 1) - most; over > 0; over--) {
    const widest = fitted.indexOf(Math.max(...fitted))
    if (fitted[widest]! <= WIDTH_MIN) break
    fitted[widest]!--
  }
  return fitted
}

/** What the library cuts, it cuts by halves of characters. */
const HALF_CHARACTER = /[\ud800-\udbff](?![\udc00-\udfff])…/g

/** A table as text; on a terminal no wider than that. */
export async function tableText({ head, rows, wrap = false }: TableParts, { columns = Infinity }: Pick<Console, 'columns'>): Promise<string> {
  const { default: Table } = await import('cli-table3')
  const render = (widths?: number[]): string => {
    const table = new Table({
      ...(head === undefined ? {} : { head: [...head] }), ...(widths === undefined ? {} : { colWidths: widths }),
      style: { head: [], border: [], compact: true }, wordWrap: wrap,
    })
    table.push(...rows.map((row) => [...row]))
    return table.toString()
  }
  const text = render()
  // Its first line is of lines only, and says how wide each column is.
  const [border = ''] = text.split('\n', 1)
  if (border.length <= columns) return text
  return render(fittedWidths(border.slice(1, -1).split('┬').map((part) => part.length), columns)).replaceAll(HALF_CHARACTER, '… ')
}
