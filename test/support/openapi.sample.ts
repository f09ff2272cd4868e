/**
 * Valid values from the schemas of an OpenAPI 3.1 document: what bad ones are made of, by one change each. Small on purpose: it knows the keywords that
 * our own document uses, and says so where it meets another.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly oneOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly const?: Json
  readonly enum?: readonly Json[]
  readonly default?: Json
  readonly examples?: readonly Json[]
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
}

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Schema
}

export interface ApiOperation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<Record<string, { readonly description: string, readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>>
}

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** Values by the names of parameters and members, where a schema can not say what is really there. */
export type Hints = Readonly<Record<string, Json>>

/** A text for the few kinds of patterns that stand in the document. @throws {Error} for another one. */
function textOfPattern(pattern: string): string {
  const candidates = [2, 16, 32, 64, 128].flatMap((length) => ['a'.repeat(length), '1'.repeat(length)])
  const found = [...candidates, '1', 'a', 'a/b', 'a://b', '2026-01-01T00:00:00Z', 'text/plain'].find((text) => new RegExp(pattern, 'u').test(text))
  if (found === undefined) throw new Error(`no sample for the pattern ${pattern}: teach test/support/openapi.sample.ts`)
  return found
}

export class Sampler {
  readonly #document: ApiDocument
  readonly #hints: Hints

  constructor(document: ApiDocument, hints: Hints) {
    this.#document = document
    this.#hints = hints
  }

  resolve(schema: Schema): Schema {
    if (schema.$ref === undefined) return schema
    const found = this.#document.components.schemas[schema.$ref.replace('#/components/schemas/', '')]
    if (found === undefined) throw new Error(`${schema.$ref} is not in the document`)
    return this.resolve(found)
  }

  /** A value that the schema takes. `name`: of the member or parameter, for the hints. */
  value(given: Schema, name = ''): Json {
    const hint = this.#hints[name]
    if (hint !== undefined) return hint
    const schema = this.resolve(given)
    if (schema.const !== undefined) return schema.const
    if (schema.examples !== undefined) return schema.examples[0]!
    if (schema.default !== undefined) return schema.default
    if (schema.enum !== undefined) return schema.enum[0]!
    const part = schema.oneOf?.[0] ?? schema.anyOf?.[0] ?? schema.allOf?.[0]
    if (part !== undefined) return this.value(part, name)
    switch (typeof schema.type === 'string' ? schema.type : schema.type?.[0]) {
      case 'string': return this.#text(schema)
      case 'integer': return Math.max(schema.minimum ?? 1, 1)
      case 'number': return Math.min(Math.max(schema.minimum ?? 0.5, 0.5), schema.maximum ?? 0.5)
      case 'boolean': return true
      case 'array': return Array.from({ length: Math.max(1, schema.minItems ?? 1) }, () => this.value(schema.items ?? {}))
      default: return schema.properties === undefined ? {} : this.object(schema, schema.required ?? [])
    }
  }

  /** An object with the members that are named. */
  object(schema: Schema, names: readonly string[]): Readonly<Record<string, Json>> {
    return Object.fromEntries(names.map((name) => [name, this.value(schema.properties?.[name] ?? {}, name)]))
  }

  #text(schema: Schema): string {
    if (schema.pattern !== undefined) return textOfPattern(schema.pattern)
    if (schema.format === 'date-time') return '2026-01-01T00:00:00Z'
    return 'a'.repeat(Math.max(1, schema.minLength ?? 1))
  }
}
