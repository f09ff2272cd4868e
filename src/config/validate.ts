import { DbError } from '../base/errors.ts'
import { parseHalfLives, parseTolerance } from './lens-values.ts'
import type { Config, OptionName } from './options.ts'

const isPowerOfTwo = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value))

/** Either form of an Ed25519 key; whether base58 digits come to one is seen when it is decoded. */
const AGENT_KEY = /^(?:[0-9a-fA-F]{64}|did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44})$/
/** What browsers send as `Origin`: never a path, and the host in lower case. */
const ORIGIN = /^(?:\*|[a-z][a-z0-9+.-]*:\/\/[^\s/?#A-Z]+)$/
/** The least that an assertion takes in a frame: its place in the vector. */
const BYTES_PER_ASSERTION_MIN = 4
/** What a verdict adds to a batch's bytes: for each assertion its id, its bit and an outcome; and headers. */
const VERDICT_BYTES_PER_ASSERTION = 57
const VERDICT_HEADER_BYTES_MAX = 1024

/** Rules across settings, each with its because. @throws {DbError} `config_invalid` */
export function validateConfig(config: Config): void {
  const rule = (holds: boolean, setting: OptionName, because: string): void => {
    if (!holds) throw new DbError('config_invalid', `${setting} = ${String(config[setting])}: ${because}`, { setting })
  }
  rule(isPowerOfTwo(config.ringBytes), 'ringBytes', 'must be a power of two, because positions wrap by a mask')
  rule(isPowerOfTwo(config.idFilterBytes), 'idFilterBytes', 'must be a power of two, because positions are masked')
  rule(config.idFilterBytes <= config.idFilterBytesMax, 'idFilterBytesMax', 'must be at least idFilterBytes, where the filter begins')
  rule(config.frameBytesMax <= config.ringBytes / 4, 'frameBytesMax', 'must be at most a quarter of ringBytes, because a frame that can not pass would wait for ever')
  const assertionsMax = Math.min(config.batchAssertionsMax, config.frameBytesMax / BYTES_PER_ASSERTION_MIN)
  rule(config.frameBytesMax + assertionsMax * VERDICT_BYTES_PER_ASSERTION + VERDICT_HEADER_BYTES_MAX <= config.ringBytes / 2, 'ringBytes',
    'must hold twice a frame of frameBytesMax with what verify adds for each of batchAssertionsMax, because a verdict that can not pass would wait for ever')
  rule(config.walSegmentBytes >= 4 * config.frameBytesMax || config.walSegmentBytes >= 2 * config.frameBytesMax + 64 * 1024,
    'walSegmentBytes', 'must hold two frames of frameBytesMax with their ids, because a record never spans segments')
  rule(config.groupBytesMax <= config.walSegmentBytes, 'groupBytesMax', 'must be at most walSegmentBytes, because a group never spans segments')
  rule(config.recentIdsMax >= config.batchAssertionsMax, 'recentIdsMax', 'must hold one batch of batchAssertionsMax, because a batch is committed as a whole')
  rule((config.tlsCertFile === '') === (config.tlsKeyFile === ''), 'tlsCertFile', 'needs tlsKeyFile, and the other way round')
  rule(config.corsOrigins === '' || config.corsOrigins.split(',').every((origin) => ORIGIN.test(origin.trim())), 'corsOrigins',
    'must be *, or origins in lower case without a path as https://app.example:8443, separated by commas, because browsers compare them letter by letter')
  rule(config.trustReporters === '' || config.trustReporters.split(',').every((key) => AGENT_KEY.test(key.trim())), 'trustReporters',
    'must be keys of 64 hex digits or did:key:z6Mk..., separated by commas')
  rule(parseHalfLives(config.decayHalfLifeDays) !== undefined, 'decayHalfLifeDays', 'must be six numbers above 0 or inf, because each of the six tiers has its own')
  rule(parseTolerance(config.consensusTolerance) !== undefined, 'consensusTolerance', 'must be a number from 0 to 1, because it is a part of the greater number')
  rule(config.realm.length > 0 && config.realm.length <= 255, 'realm', 'must have 1 to 255 characters')
}
