/**
 * The one table of error codes. Append-only: a number is never reused, a name never changes its meaning, because both
 * stand in acks, problem details and users' programs. docs/reference/errors.md is tested against it.
 *
 * `outcome` says what the caller may conclude (docs/reference/errors.md):
 * - `ok`: it is applied.
 * - `fail`: certainly not applied.
 * - `info`: unknown; resend, the content id makes it safe.
 */
export interface ErrorCode {
  readonly number: number
  readonly httpStatus: number
  readonly retryable: boolean
  readonly outcome: 'ok' | 'fail' | 'info'
  readonly title: string
  /** What the caller should do. */
  readonly action: string
}

const code = (
  number: number, httpStatus: number, outcome: ErrorCode['outcome'], retryable: boolean, title: string, action: string,
): ErrorCode => Object.freeze({ number, httpStatus, retryable, outcome, title, action })

export const ERROR_CODES = Object.freeze({
  // 0 is "no error" on the wire.
  duplicate: code(1, 200, 'ok', false, 'Already stored', 'Nothing. The LSN and HLC are those of the original.'),

  // 2..19: what came is not a well-formed request.
  malformed_frame: code(2, 400, 'fail', false, 'Malformed frame', 'Send a FlatBuffers buffer as docs/formats/wire.md describes it.'),
  malformed_json: code(3, 400, 'fail', false, 'Malformed JSON', 'Send valid UTF-8 JSON.'),
  field_missing: code(4, 400, 'fail', false, 'Field missing', 'Set the field that the pointer names.'),
  field_invalid: code(5, 400, 'fail', false, 'Field invalid', 'Correct the field that the pointer names. Where none is named, look at /asserted_at first: it may be ahead of the node\'s clock by hlcDriftMaxMs at most, one minute by default.'),
  field_too_long: code(6, 400, 'fail', false, 'Field too long', 'Shorten the field; docs/reference/limits.md has every limit.'),
  object_null: code(7, 422, 'fail', false, 'Object is null', 'A claim needs an object: text, number, boolean or reference. To take a claim back, assert it with lifecycle "retracted".'),
  text_not_utf8: code(8, 400, 'fail', false, 'Text is not valid UTF-8', 'Send valid UTF-8 without surrogates.'),
  number_not_finite: code(9, 422, 'fail', false, 'Number is not finite', 'NaN and infinities are no claims; send a finite number.'),
  batch_empty: code(10, 400, 'fail', false, 'Empty batch', 'Send at least one assertion.'),
  batch_too_large: code(11, 413, 'fail', false, 'Too many assertions in one batch', 'Split the batch; the limit is in the welcome frame.'),
  frame_too_large: code(12, 413, 'fail', false, 'Frame or body too large', 'Split it; the limit is in the welcome frame and in docs/reference/limits.md.'),
  media_type_unsupported: code(13, 415, 'fail', false, 'Unsupported media type', 'Use application/json, application/x-ndjson or application/vnd.stemedb.batch.'),
  not_found: code(14, 404, 'fail', false, 'Not found', 'Check the id or path.'),
  method_not_allowed: code(15, 405, 'fail', false, 'Method not allowed', 'Use a method from the Allow field.'),
  parameter_invalid: code(16, 400, 'fail', false, 'Parameter invalid', 'Correct the query parameter that is named.'),
  protocol_unsupported: code(17, 400, 'fail', false, 'Unsupported WebSocket subprotocol', 'Offer the subprotocol stemedb.v1.'),
  not_acceptable: code(18, 406, 'fail', false, 'Not acceptable', 'Accept one of the media types that are named.'),
  body_timeout: code(19, 408, 'fail', true, 'Body too slow', 'Send the whole body within ingressTimeoutMs; a stream must bring a line in that time.'),

  // 20..29: who signed it.
  signature_missing: code(20, 401, 'fail', false, 'Signature missing', 'Sign the assertion or its batch; this node runs with signatures=required.'),
  signature_invalid: code(21, 403, 'fail', false, 'Signature invalid', 'Sign the id (or the batch root) with the agent\'s key, for this node\'s realm.'),
  signature_malformed: code(22, 403, 'fail', false, 'Signature not canonical', 'S must be below the group order and R no low-order point (RFC 8032, 5.1.7).'),
  key_weak: code(23, 403, 'fail', false, 'Agent key refused', 'The key is a low-order or non-canonical point; make a new one with stemedb keygen.'),
  agent_mismatch: code(24, 403, 'fail', false, 'Agent is not the signer', 'Every assertion of a signed batch must carry the batch\'s agent.'),

  // 30..49: the node can not take it now.
  overloaded: code(30, 503, 'fail', true, 'Overloaded', 'Send again after retry_after; nothing was applied.'),
  rate_limited: code(31, 429, 'fail', true, 'Rate limit reached', 'Send again after retry_after.'),
  credit_exceeded: code(32, 429, 'fail', true, 'Credit exceeded', 'Keep the bytes of unacked batches within the connection\'s credit.'),
  disk_full: code(33, 507, 'fail', true, 'Disk full', 'Free space on the node\'s data directory; writes go on by themselves then.'),
  read_only: code(34, 503, 'fail', true, 'Node is read-only', 'Write to another node; see docs/operations for the cause.'),
  shutting_down: code(35, 503, 'fail', true, 'Node is shutting down', 'Reconnect, to this node later or to another one now.'),
  starting: code(36, 503, 'fail', true, 'Node is starting', 'Wait for /readyz.'),
  durability_failed: code(37, 503, 'info', true, 'Durability unknown', 'An fsync failed after the append began. Resend to another node: the id makes it safe.'),
  timeout: code(38, 503, 'info', true, 'Timed out', 'Resend: the id makes it safe.'),
  lsn_not_reached: code(39, 503, 'fail', true, 'LSN not reached in time', 'Read again, or read where it was written.'),
  lsn_in_future: code(40, 400, 'fail', false, 'LSN is in the future', 'Pass an LSN that an ack of this node named.'),
  connections_exhausted: code(41, 503, 'fail', true, 'Too many connections', 'Reuse connections, or raise sessionsMax.'),
  subscriptions_exhausted: code(42, 503, 'fail', true, 'Too many subscriptions', 'End some, or raise subscriptionsMax or subscriptionsPerSessionMax.'),
  subscriber_too_slow: code(43, 503, 'fail', true, 'Subscriber too slow', 'Read faster, then subscribe again from the LSN behind the last one: nothing is lost.'),
  lsn_unavailable: code(44, 410, 'fail', false, 'LSN is no longer there', 'Start from the first LSN of this node\'s log, which is named.'),

  // 50..69: the data on this node.
  data_dir_locked: code(50, 503, 'fail', false, 'Data directory in use', 'Stop the other process, or use another data directory.'),
  wal_corrupt: code(51, 500, 'fail', false, 'WAL corrupt', 'See docs/operations/runbooks/wal-corrupt.md; the bytes are kept.'),
  store_corrupt: code(52, 500, 'fail', false, 'Store corrupt', 'Run stemedb store rebuild; see docs/operations/runbooks/store-corrupt.md.'),
  format_unsupported: code(53, 500, 'fail', false, 'Format of a newer version', 'Run the version that wrote the data, or a newer one; nothing was touched.'),
  config_invalid: code(54, 500, 'fail', false, 'Configuration invalid', 'Correct the setting or key file that is named; docs/reference/config.md lists settings, docs/reference/cli.md says what a key file is.'),
  io_error: code(55, 500, 'info', false, 'I/O error', 'Check the node\'s disk.'),
  internal: code(56, 500, 'info', true, 'Internal error', 'Report it with the request id.'),

  // 70..79: proofs.
  proof_pending: code(70, 503, 'fail', true, 'Not yet under a signed tree head', 'Ask again after retry_after: a head is signed every tlogCheckpointMs.'),
  proofs_disabled: code(71, 404, 'fail', false, 'This node keeps no log of proofs', 'Ask a node that runs with tlogEnabled=on.'),
  proof_log_diverged: code(72, 500, 'fail', false, 'The log is not what this node has signed', 'See docs/operations/runbooks/proof-log-diverged.md; nothing is signed any more.'),
  proof_invalid: code(73, 422, 'fail', false, 'Proof does not hold', 'Keep what was sent: do not trust it, nor who sent it.'),
  history_rewritten: code(74, 500, 'fail', false, 'The node\'s log is not the one it signed before', 'Keep both tree heads: together they prove it. Trust nothing of this node until its operator has explained it.'),

  // 57..: what a client finds out by itself.
  unreachable: code(57, 503, 'info', true, 'Node not reachable', 'Check the address and that the node runs. What was sent and not acked may be stored: resend, the id makes it safe.'),

  // The shape of a request again: 2..19 are used up.
  record_invalid: code(58, 422, 'fail', false, 'No such record', 'Subjects under steme:// are for records; docs/formats/records.md has their shapes.'),
} as const satisfies Record<string, ErrorCode>)

export type ErrorName = keyof typeof ERROR_CODES

const BY_NUMBER: ReadonlyMap<number, ErrorName> = new Map(
  (Object.keys(ERROR_CODES) as ErrorName[]).map((name) => [ERROR_CODES[name].number, name]),
)

/** The code's name, or `internal` for a number of a newer version. */
export function errorNameOf(number: number): ErrorName {
  return BY_NUMBER.get(number) ?? 'internal'
}
