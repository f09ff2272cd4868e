import type { Mutation } from '../support/mutant.ts'

const COMMIT = 'src/commit/commit-stage.js'
const WRITER = 'src/wal/wal-writer.js'
const TLOG = 'src/merkle/tlog-files.js'
const OPENING = 'src/wal/segment-opening.js'
const RUN_FILES = 'src/store/run-files.js'

/** Bugs of a write path, each of which simulation must find. */
export const MUTANTS: Readonly<Record<string, readonly Mutation[]>> = {
  'acks go out before the sync': [{ file: COMMIT, from: 'this.#sync();\n            this.#unmarked', to: 'acks.flush();\n            this.#sync();\n            this.#unmarked' }],
  'groups are not synced': [{ file: WRITER, from: 'this.#file.fdatasync();', to: '' }],
  'a new segment\'s name is not synced': [{ file: OPENING, from: 'disk.syncDir(dir);\n    publishManifest', to: 'publishManifest' }],
  'the manifest\'s name is not synced':
    [{ file: 'src/wal/wal-files.js', from: 'join(dir, MANIFEST_NAME));\n    disk.syncDir(dir);', to: 'join(dir, MANIFEST_NAME));' }],
  'recovery goes on in the old segment': [
    { file: 'src/wal/recovery.js', from: 'if (rewriteTail(disk, dir, tail)', to: 'if (true) return { ...result(false, tail), goesOn: true };\n        if (rewriteTail(disk, dir, tail)' },
    {
      file: WRITER, from: 'const { openSegmentId } = recovered.manifest;',
      to: `const { openSegmentId } = recovered.manifest;
        if (recovered.goesOn === true) {
            const { sealed } = recovered.tail;
            writer.#tail = undefined;
            writer.#openFile(openSegmentId);
            writer.#durable = { ...chainAtEnd([sealed]), offset: sealed.bytesUsed, lastRecordOffset: sealed.lastRecordOffset, recordCount: sealed.recordCount };
            writer.#current = { ...writer.#durable };
            return writer;
        }`,
    },
  ],
  'recovery takes the old segment as it is': [{ file: OPENING, from: 'disk.rename(tmp, path);', to: '' }],
  'a failed sync is tried again': [{
    file: WRITER, from: 'this.#file.fdatasync();',
    to: 'try { this.#file.fdatasync(); } catch (error) { if (error.code !== "EIO") throw error; this.#file.fdatasync(); }',
  }],
  'the durable mark moves before the sync': [{
    file: COMMIT, from: 'position = writer.commit();',
    to: `writer.write();
            marks.setDurable({ segmentId: writer.segmentId, offset: writer.recordOffset }, this.#lastLsn, this.#lastHlc);
            position = writer.sync();`,
  }],
  'ids of earlier lives are not looked up': ['src/node/stage-wal.js', 'src/node/stage-verify.js'].map((file) => ({
    file, from: 'ids: place.ids().lookup,',
    to: `ids: ((lookup) => ({
            prepare: (...args) => lookup.prepare(...args), mayKnow: (i) => lookup.mayKnow(i), hasRoom: (count) => lookup.hasRoom(count),
            insert: (...args) => lookup.insert(...args),
            find: (ids, at) => { const place = lookup.find(ids, at); return place === undefined || place.lsn <= start.recovered.lastLsn ? undefined : place; },
        }))(place.ids().lookup),`,
  })),
  'ids that came since verify looked are not looked for': [{
    file: 'src/store/id-lookup.js', from: 'return this.#recents.find(ids, offset);', to: 'return undefined;',
  }],
  'recent ids are taken for all that came since verify looked': [{
    file: 'src/store/recent-ids.js', from: 'return this.#count(oldest) > 0 && this.#lsnAt(oldest, 0) <= lsn + 1;', to: 'return true;',
  }],
  'reads show what is not synced': [{ file: 'src/node/stage-lens.js', from: 'const durableLsn = () => place.marks.durableLsn;', to: 'const durableLsn = () => Infinity;' }],
  'the HLC is the wall clock': [{ file: 'src/base/hlc.js', from: 'now > last ? now : last + 1n', to: 'now' }],
  'a segment ends before its last group is synced': [{
    file: WRITER, from: 'return this.sync();',
    to: 'this.#written = false; this.#durable = { ...this.#current }; this.#durableLsn = this.#current.nextLsn - 1; return this.durablePosition;',
  }],
  'the log\'s folder is synced only by the start that makes it': [{ file: 'src/wal/wal-files.js', from: 'disk.mkdir(dir);', to: 'if (disk.exists(dir)) return;\n    disk.mkdir(dir);' }],
  'a full disk is full for ever': [{ file: COMMIT, from: 'writer.diskFull ? 0 : full', to: 'writer.diskFull ? marks.refusal : full' }],
  'the preparer puts a segment over one that is ready': [{ file: 'src/wal/segment-preparer.js', from: '=== 1)\n            return \'ready\';', to: '=== 2)\n            return \'ready\';' }],
  'a full disk is reason enough to trust what was not synced': [{ file: 'src/wal/recovery.js', from: 'if (!examined.isTrusted)', to: 'if (false)' }],
  'a tree head is shown before its sync': [{ file: TLOG, from: 'head.fdatasync();', to: '' }],
  'a start shows the tree head that the page cache has': [
    { file: TLOG, from: 'function renewHead(disk, dir, slot) {', to: 'function renewHead(disk, dir, slot) {\n    if (disk.exists(`${dir}/${HEAD_NAME}`)) return { head: disk.open(`${dir}/${HEAD_NAME}`, "write"), slot };' },
  ],
  'the names of the proof log\'s files are not synced': [{ file: TLOG, from: 'disk.rename(tmp, path);\n    disk.syncDir(dir);', to: 'disk.rename(tmp, path);' }],
  'a run file is listed before it is synced': [{
    file: RUN_FILES, from: 'file.pwrite(tail, 0, tail.length, this.#position);\n            file.fdatasync();', to: 'file.pwrite(tail, 0, tail.length, this.#position);',
  }],
  'a run file\'s name is not synced': [{ file: RUN_FILES, from: 'doing(\'naming\', writer.path, () => this.#disk.syncDir(this.#dir));', to: '' }],
  'the folder of run files is not synced': [{ file: RUN_FILES, from: 'this.#disk.syncDir(dirname(this.#dir));', to: '' }],
  'files of merged runs are removed before the list is durable': [{ file: 'src/store/run-graves.js', from: 'return;\n        this.#syncList();', to: 'return;' }],
  'the proof log\'s folder is not synced': [{ file: TLOG, from: 'disk.syncDir(parentOf(dir));', to: '' }],
}
