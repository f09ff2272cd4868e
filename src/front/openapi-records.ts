import type { ErrorName } from '../base/error-codes.ts'
import { JSON_TYPE } from './media.ts'
import { ALIASES_PARAMETERS, RECORDS_PARAMETERS, SOURCES_PARAMETERS, SOURCE_PARAMETERS } from './schemas-records.ts'

const json = (name: string): Readonly<Record<string, Readonly<Record<string, unknown>>>> => ({ [JSON_TYPE]: { $ref: `#/components/schemas/${name}` } })

const STORED = {
  200: ['It was there already; the stamps are those of the original.', json('Stored')],
  201: ['New.', json('Stored')],
} as const
const READ = { tag: 'read' } as const
const WRITE = { tag: 'write', description: 'The assertions that the record comes to are stored as by `POST /v1/assert`.' } as const

/** What openapi.json says of the paths of records. @param write problems of bodies and writes; @param read those of questions. */
export const recordOperations = (write: readonly ErrorName[], read: readonly ErrorName[]) => ({
  vote: { ...WRITE, summary: 'Vote on an assertion', body: json('Vote'), responses: STORED, problems: write },
  listVotes: { ...READ, summary: 'Votes on an assertion, and what they come to', parameters: RECORDS_PARAMETERS, responses: { 200: ['Also where nobody has voted.', json('Votes')] }, problems: read },
  declareEpoch: { ...WRITE, summary: 'Declare an epoch, or take one back', body: json('Epoch'), responses: STORED, problems: write },
  listEpochs: { ...READ, summary: 'Epochs, and which are superseded', parameters: RECORDS_PARAMETERS, responses: { 200: ['The latest first.', json('Epochs')] }, problems: read },
  alias: {
    ...WRITE, summary: 'Say that two subjects are the same thing', body: json('Alias'), problems: write,
    responses: { 200: ['It was said already.', json('Results')], 201: ['New.', json('Results')], 207: ['One of its two assertions fared differently.', json('Results')] },
  },
  listAliases: { ...READ, summary: 'Other names of a subject', parameters: ALIASES_PARAMETERS, responses: { 200: ['Also where there are none.', json('Aliases')] }, problems: read },
  reportOutcome: { ...WRITE, summary: 'Say that an agent was right or wrong', body: json('Outcome'), responses: STORED, problems: [...write, 'parameter_invalid'] },
  getTrust: { ...READ, summary: 'How far an agent is trusted', parameters: RECORDS_PARAMETERS, responses: { 200: ['Also where nothing is known.', json('Trust')] }, problems: read },
  registerSource: {
    ...WRITE, summary: 'Register a source, with or without its content', body: json('Source'), problems: write,
    responses: {
      200: ['It was there already.', json('SourceStored')], 201: ['New.', json('SourceStored')], 207: ['Its assertions fared differently.', json('SourceStored')],
    },
  },
  listSources: { ...READ, summary: 'Sources, a page at a time', parameters: SOURCES_PARAMETERS, responses: { 200: ['By their hashes.', json('Sources')] }, problems: read },
  getSource: {
    ...READ, summary: 'One source, with its content', parameters: SOURCE_PARAMETERS, responses: { 200: ['Found.', json('SourceFound')] }, problems: [...read, 'not_found'],
  },
} as const)
