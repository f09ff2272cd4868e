// Reads compiled schemas (.bfbs, layout: flatbuffers/reflection/reflection.fbs) and writes src/fbs/schema.ts.

const SCALARS = { 1: [1, 1], 2: [1, 1], 3: [1, 1], 4: [1, 1], 5: [2, 2], 6: [2, 2], 7: [4, 4], 8: [4, 4], 9: [8, 8], 10: [8, 8], 11: [4, 4], 12: [8, 8] }
const STRING = 13
const VECTOR = 14
const OBJECT = 15

/** Tables and vectors of a compiled schema, by slot of reflection.fbs. */
class Table {
  constructor(view, at) {
    this.view = view
    this.at = at
  }

  field(slot) {
    const vtable = this.at - this.view.getInt32(this.at, true)
    const entry = 4 + 2 * slot
    if (entry >= this.view.getUint16(vtable, true)) return 0
    const offset = this.view.getUint16(vtable + entry, true)
    return offset === 0 ? 0 : this.at + offset
  }

  u8(slot) {
    const at = this.field(slot)
    return at === 0 ? 0 : this.view.getUint8(at)
  }

  u16(slot) {
    const at = this.field(slot)
    return at === 0 ? 0 : this.view.getUint16(at, true)
  }

  i32(slot, missing) {
    const at = this.field(slot)
    return at === 0 ? missing : this.view.getInt32(at, true)
  }

  target(slot) {
    const at = this.field(slot)
    return at === 0 ? 0 : at + this.view.getUint32(at, true)
  }

  string(slot) {
    const at = this.target(slot)
    if (at === 0) return ''
    const start = this.view.byteOffset + at + 4
    return new TextDecoder().decode(new Uint8Array(this.view.buffer, start, this.view.getUint32(at, true)))
  }

  table(slot) {
    const at = this.target(slot)
    return at === 0 ? undefined : new Table(this.view, at)
  }

  tables(slot) {
    const at = this.target(slot)
    if (at === 0) return []
    const element = (i) => at + 4 + 4 * i
    return Array.from({ length: this.view.getUint32(at, true) }, (_, i) => new Table(this.view, element(i) + this.view.getUint32(element(i), true)))
  }
}

// Slots of reflection.fbs.
const schemaOf = (root) => ({ objects: root.tables(0), identifier: root.string(2), rootName: root.table(4)?.string(0) ?? '' })
const objectOf = (object) => ({
  name: object.string(0), fields: object.tables(1), isStruct: object.u8(2) !== 0, align: object.i32(3, 0), size: object.i32(4, 0),
  attributes: attributesOf(object.tables(5)),
})
const fieldOf = (field) => ({
  name: field.string(0), type: field.table(1), slot: field.u16(2), required: field.u8(7) !== 0, attributes: attributesOf(field.tables(9)),
})
const attributesOf = (pairs) => new Map(pairs.map((pair) => [pair.string(0), pair.string(1)]))
const shortName = (name) => name.split('.').at(-1)

/** The tables of one compiled schema: name → { identifier, fields }. Throws on a type that the verifier does not know. */
export function tablesOf(compiled) {
  const view = new DataView(compiled.buffer, compiled.byteOffset, compiled.length)
  const schema = schemaOf(new Table(view, view.getUint32(0, true)))
  const objects = schema.objects.map(objectOf)
  const tables = new Map()
  for (const object of objects) {
    if (object.isStruct) continue
    const identifier = object.attributes.get('identifier') ?? (object.name === schema.rootName ? schema.identifier : '')
    const fields = object.fields.map(fieldOf).sort((a, b) => a.slot - b.slot)
    tables.set(shortName(object.name), { identifier, fields: fields.map((field) => describe(field, objects)) })
  }
  return tables
}

function describe(field, objects) {
  const base = field.type.u8(0)
  const element = field.type.u8(1)
  const object = base === OBJECT || element === OBJECT ? objects[field.type.i32(2, -1)] : undefined
  const { name, slot, required } = field
  const make = (kind, size, align, target = '') => ({ name, slot, required, kind, size, align, target })
  const nested = field.attributes.get('nested_flatbuffer')
  if (nested !== undefined) return make('nested', 1, 1, shortName(nested))
  if (SCALARS[base] !== undefined) return make('scalar', ...SCALARS[base])
  if (base === STRING) return make('string', 1, 1)
  if (base === OBJECT) return object.isStruct ? make('struct', object.size, object.align) : make('table', 4, 4, shortName(object.name))
  if (base === VECTOR && SCALARS[element] !== undefined) return make('vector', ...SCALARS[element])
  if (base === VECTOR && element === STRING) return make('strings', 4, 4)
  if (base === VECTOR && element === OBJECT) {
    return object.isStruct ? make('vector', object.size, object.align) : make('tables', 4, 4, shortName(object.name))
  }
  throw new Error(`field ${name}: the verifier knows no type ${base}/${element}; teach src/wire/verifier.ts first`)
}

/** The text of src/fbs/schema.ts. */
export function schemaModule(tables) {
  const quote = (text) => `'${text}'`
  const line = ({ name, slot, kind, size, align, required, target }) =>
    `      { name: ${quote(name)}, slot: ${slot}, kind: ${quote(kind)}, size: ${size}, align: ${align}, required: ${required}, target: ${quote(target)} },`
  const table = ([name, { identifier, fields }]) =>
    [`  ${name}: {`, `    identifier: ${quote(identifier)},`, '    fields: [', ...fields.map(line), '    ],', '  },'].join('\n')
  return `// automatically generated by fbs/generate.mjs from the compiled schemas, do not modify

/**
 * - \`scalar\`, \`struct\`: inline, of \`size\` bytes
 * - \`string\`
 * - \`vector\`: of scalars or structs, of \`size\` bytes each
 * - \`strings\`, \`tables\`: vectors of offsets
 * - \`table\`: offset to a \`target\`
 * - \`nested\`: vector of bytes that is a buffer with root \`target\`
 */
export type FieldKind = 'scalar' | 'struct' | 'string' | 'vector' | 'strings' | 'table' | 'tables' | 'nested'

export interface FieldSchema {
  readonly name: string
  readonly slot: number
  readonly kind: FieldKind
  /** Bytes of the scalar, struct or vector element. */
  readonly size: number
  /** Of the same. */
  readonly align: number
  readonly required: boolean
  /** Name of the table that is pointed to or nested, or ''. */
  readonly target: string
}

export interface TableSchema {
  /** File identifier of a buffer with this root, or '' where none is checked. */
  readonly identifier: string
  /** By ascending slot. */
  readonly fields: readonly FieldSchema[]
}

export const SCHEMA = {
${[...tables].sort(([a], [b]) => (a < b ? -1 : 1)).map(table).join('\n')}
} as const satisfies Record<string, TableSchema>

export type TableName = keyof typeof SCHEMA
`
}
