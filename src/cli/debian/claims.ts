import type { AssertionDraft } from '../../client/client.ts'
import type { SourceClass } from '../../record/assertion.ts'
import { blake3 } from '../../record/blake3.ts'
import { OBJECT_TEXT_BYTES_MAX, SUBJECT_BYTES_MAX } from '../../record/limits.ts'
import type { Stanza } from './stanzas.ts'

/** What kind of archive a list is of: the later one overrules the earlier in apt, so it is a source of a higher tier here. */
export interface PackageList {
  /** Name that sources are cited by, such as `deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages`. */
  readonly name: string
  /** Unix milliseconds of the list's release. */
  readonly releasedAtMs: number
  readonly sourceClass: SourceClass
}

/** Fields of a package that become claims, with the kind of their object. */
const FIELDS: readonly (readonly [field: string, predicate: string, kind: 'text' | 'number'])[] = [
  ['version', 'version', 'text'],
  ['section', 'section', 'text'],
  ['priority', 'priority', 'text'],
  ['maintainer', 'maintainer', 'text'],
  ['architecture', 'architecture', 'text'],
  ['installed-size', 'installed-size', 'number'],
  ['size', 'download-size', 'number'],
  ['depends', 'depends', 'text'],
  ['homepage', 'homepage', 'text'],
  ['source', 'source', 'text'],
  ['description', 'description', 'text'],
  ['sha256', 'sha256', 'text'],
]

/** Security fixes overrule stable updates, which overrule the release; others (backports, third parties) come behind. */
export function sourceClassOf(listName: string): SourceClass {
  const name = listName.toLowerCase()
  if (/[-_]security(?=[_/-]|$)/.test(name) || /debian-security/.test(name)) return 0
  if (/[-_](proposed-)?updates(?=[_/-]|$)/.test(name)) return 1
  if (/[-_]backports/.test(name)) return 3
  return /(^|[._/])debian[._]org[_/]|ftp\.[a-z]+\.debian\.org|snapshot\.debian\.org/.test(name) ? 2 : 4
}

const CONFIDENCE = 1

/**
 * The claims that a list makes about one package: one a field, all with the stanza's hash as their source. A package without a
 * name, or fields that break a limit, make none.
 */
export function claimsOf(stanza: Stanza, list: PackageList): AssertionDraft[] {
  const name = stanza.fields.get('package')
  if (name === undefined || !/^[a-z0-9][a-z0-9+.-]*$/.test(name) || name.length > SUBJECT_BYTES_MAX - 16) return []
  const sourceHash = blake3(new TextEncoder().encode(stanza.text))
  const claims: AssertionDraft[] = []
  for (const [field, predicate, kind] of FIELDS) {
    const value = stanza.fields.get(field)
    if (value === undefined || value === '') continue
    const object = objectOf(value, kind)
    if (object === undefined) continue
    claims.push({
      subject: `debian/${name}`,
      predicate,
      object,
      confidence: CONFIDENCE,
      sourceClass: list.sourceClass,
      sourceHash,
      sourceUri: `apt-list:${list.name}`,
      lifecycle: 'approved',
      assertedAtMs: list.releasedAtMs,
    })
  }
  return claims
}

function objectOf(value: string, kind: 'text' | 'number'): string | number | undefined {
  if (kind === 'number') return /^\d{1,15}$/.test(value) ? Number(value) : undefined
  return Buffer.byteLength(value) <= OBJECT_TEXT_BYTES_MAX ? value : undefined
}

