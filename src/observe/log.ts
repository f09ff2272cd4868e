import { writeSync } from 'node:fs'
import pino from 'pino'
import type { Clock } from '../base/clock.ts'
import { isDbError, type ErrorDetails } from '../base/errors.ts'

/** Flat by type, so that no buffer, header or setting object gets into a line by accident. */
export type LogFields = ErrorDetails

/**
 * A structured log. Messages are constant texts that can be searched for; what differs goes into fields, which carry
 * their unit in the name. An error's own fields are those of {@link errorFields}.
 */
export interface Log {
  trace(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  fatal(message: string, fields?: LogFields): void
  /** The same log with fields on every line: `part`, `threadName`. */
  child(fields: LogFields): Log
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'pretty'
  readonly clock: Clock
  /** Takes one line with its newline. Default: {@link stderrLine}. */
  readonly write?: (line: string) => void
}

/** Longest text of one field; longer ones are cut, so that what a client sends can not fill the log's disk. */
export const LOG_FIELD_CHARACTERS_MAX = 1024

const SECRET = /secret|private|password|passphrase|seed|token|authorization|cookie/i

/** Fields as they may be written: secrets by name replaced, long texts cut. */
export function safeFields(fields: LogFields): LogFields {
  const safe: Record<string, string | number | boolean | null> = {}
  for (const [key, value] of Object.entries(fields)) {
    if (SECRET.test(key)) safe[key] = '[removed]'
    else if (typeof value === 'string' && value.length > LOG_FIELD_CHARACTERS_MAX) {
      safe[key] = `${value.slice(0, LOG_FIELD_CHARACTERS_MAX)}... (${value.length} characters)`
    } else safe[key] = value
  }
  return safe
}

/** An error as fields: code, message and details of a DbError; name, stack and cause of any other, which is a bug. */
export function errorFields(error: unknown): LogFields {
  if (isDbError(error)) {
    const cause = error.cause instanceof Error ? { cause: error.cause.message } : {}
    return { ...error.details, code: error.code, error: error.message, ...cause }
  }
  if (!(error instanceof Error)) return { error: String(error) }
  const cause = error.cause instanceof Error ? { cause: error.cause.stack ?? error.cause.message } : {}
  return { error: error.message, errorName: error.name, stack: error.stack ?? '', ...cause }
}

/**
 * Writes a line to standard error with one system call, from any thread and without an event loop: worker threads log
 * the same way as the main one, and the last line before an exit is not lost. A full pipe (EAGAIN) or a closed one
 * (EPIPE) loses the line, since a log must not stop a database.
 */
export function stderrLine(line: string): void {
  try {
    writeSync(2, line)
  } catch {
    // EAGAIN, EPIPE, EBADF: there is nowhere left to say so.
  }
}

/** `auto` means lines for people where standard error is a terminal, JSON elsewhere. */
export function resolveLogFormat(format: 'auto' | 'json' | 'pretty', isTerminal = process.stderr.isTTY): 'json' | 'pretty' {
  if (format !== 'auto') return format
  return isTerminal ? 'pretty' : 'json'
}

const COLUMNS = new Set(['level', 'time', 'part', 'message', 'stack'])

const quoted = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)
}

/** A JSON line of ours as one for people: `12:00:01.234 WARN  wal     message  key=value`, a stack on lines below. */
export function prettyLine(json: string): string {
  const line = JSON.parse(json) as Record<string, unknown>
  const text = (key: string): string => (typeof line[key] === 'string' ? line[key] : '')
  const fields = Object.entries(line).filter(([key]) => !COLUMNS.has(key)).map(([key, value]) => `${key}=${quoted(value)}`)
  const head = `${text('time').slice(11, 23)} ${text('level').toUpperCase().padEnd(5)} ${text('part').padEnd(7)} ${text('message')}`
  const stack = text('stack') === '' ? '' : `\n${text('stack').replaceAll(/^/gm, '    ')}`
  return `${[head, ...fields].join('  ')}${stack}\n`
}

class PinoLog implements Log {
  readonly #pino: pino.Logger

  constructor(logger: pino.Logger) {
    this.#pino = logger
  }

  trace(message: string, fields: LogFields = {}): void { this.#write('trace', message, fields) }
  debug(message: string, fields: LogFields = {}): void { this.#write('debug', message, fields) }
  info(message: string, fields: LogFields = {}): void { this.#write('info', message, fields) }
  warn(message: string, fields: LogFields = {}): void { this.#write('warn', message, fields) }
  error(message: string, fields: LogFields = {}): void { this.#write('error', message, fields) }
  fatal(message: string, fields: LogFields = {}): void { this.#write('fatal', message, fields) }

  child(fields: LogFields): Log {
    return new PinoLog(this.#pino.child(safeFields(fields)))
  }

  #write(level: Exclude<LogLevel, 'silent'>, message: string, fields: LogFields): void {
    if (this.#pino.isLevelEnabled(level)) this.#pino[level](safeFields(fields), message)
  }
}

/** A log whose lines carry `level`, `time` (RFC 3339, UTC), `message` and fields. Each thread makes its own. */
export function createLog({ level, format, clock, write = stderrLine }: LogOptions): Log {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date(clock.wallMs()).toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
  }
  return new PinoLog(pino(options, { write: (line: string) => write(format === 'pretty' ? prettyLine(line) : line) }))
}
