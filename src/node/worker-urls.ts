/** The only place that names the files in workers/, which stand beside src/ in source and build alike. */
export const workerUrls = {
  ingest: new URL('../../workers/ingest.worker.js', import.meta.url),
  wal: new URL('../../workers/wal.worker.js', import.meta.url),
  verify: new URL('../../workers/verify.task.js', import.meta.url),
  merkle: new URL('../../workers/merkle.task.js', import.meta.url),
  feed: new URL('../../workers/feed.worker.js', import.meta.url),
  scrub: new URL('../../workers/scrub.worker.js', import.meta.url),
  tlog: new URL('../../workers/tlog.worker.js', import.meta.url),
  lens: new URL('../../workers/lens.task.js', import.meta.url),
} as const
