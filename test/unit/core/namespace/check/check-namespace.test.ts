import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  answerKey,
  blockKey,
  CLUSTER_KEY,
  COUNTERS_KEY,
  chunkKey,
  chunkPageKey,
  chunkPagesKey,
  condemnedKey,
  dentryKey,
  inodeKey,
  lockedInodesKey,
  lockKey,
  lockWaiterKey,
  nonceKey,
  orphanKey,
  sessionKey,
  xattrKey,
  xattrNamesKey,
} from '../../../../../src/core/namespace/keys.ts';
import { LOCK_END_MAX, rangeMessage } from '../../../../../src/core/namespace/locks/ranges.ts';
import { F_RDLCK, F_WRLCK } from '../../../../../src/core/namespace/ops/lock.ts';
import * as codecs from '../../../../../src/core/namespace/rows.ts';
import type { RowCodec } from '../../../../../src/core/namespace/types.ts';
import type { Attr, Op } from '../../../../../src/gen/ringfs/v1/namespace.ts';
import type { MemoryKvStore } from '../../../../support/memory-kv-store.ts';
import { namespaceFindings } from '../../../../support/namespace-findings.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import * as ops from '../../../../support/namespace-ops.ts';

const CHUNK = 64 * 1024 * 1024;

/** One of everything that the namespace can hold. */
class Everything extends NamespaceFixture {
  readonly dir = this.ino(ops.mkdir(1, 'dir'));
  readonly inner = this.ino(ops.mkdir(this.dir, 'inner'));
  readonly innermost = this.ino(ops.mkdir(this.inner, 'innermost'));
  readonly file = this.ino(ops.mkfile(this.dir, 'file'));
  readonly sparse = this.ino(ops.mkfile(this.dir, 'sparse'));
  readonly other = this.ino(ops.mkfile(1, 'other'));
  readonly symlink = this.ino(ops.symlink(1, 'link', 'dir/file'));
  readonly unnamed = this.ino(ops.mktemp(1));
  readonly gone = this.ino(ops.mkfile(1, 'gone'));
  readonly goneDir = this.ino(ops.mkdir(1, 'gone dir'));
  readonly waiter: number;

  constructor() {
    super();
    this.ok(ops.link(this.file, this.inner, 'second name'));
    this.ok(
      ops.write(this.file, [ops.inline(0, 'hello'), ops.block(100, 50, 'a'), ops.block(200, 25, 'a', 0, 50)]),
    );
    this.ok(ops.write(this.other, [ops.block(0, 50, 'a'), ops.block(50, 10, 'old')]));
    this.ok(ops.write(this.other, [ops.block(50, 10, 'new')]));
    this.ok(ops.write(this.gone, [ops.block(0, 30, 'b')]));
    for (const chunk of [3, 7, 1023, 1024, 5000])
      this.ok(ops.write(this.sparse, [ops.block(chunk * CHUNK, 10, chunk)]));
    this.ok(
      ops.setXattr(this.file, 'user.b', ops.bytes('1')),
      ops.setXattr(this.file, 'user.a', ops.bytes('2')),
    );
    this.ok(ops.unlink(1, 'gone'), ops.rmdir(1, 'gone dir'));
    const open = { nonce: new Uint8Array(16).fill(7), client: 'other', time: { sec: 1, nsec: 0 } };
    this.waiter = this.machine.apply({ body: { $case: 'openSession', value: open } }).value;
    this.ok(this.#lock(F_WRLCK, 0));
    this.commit([this.#lock(F_RDLCK, 9)], { session: this.waiter, sequence: 1, ackedBelow: 1 });
    const node = {
      id: 's1',
      address: 'a:1',
      capacityBytes: 1,
      usedBytes: 0,
      availableBytes: 1,
      virtualNodes: 1,
    };
    this.machine.apply({ body: { $case: 'registerBlockNode', value: { node } } });
  }

  #lock(type: number, ticket: number): Op {
    const value = {
      ino: this.file,
      flock: false,
      owner: 4,
      range: rangeMessage(0n, LOCK_END_MAX),
      type,
      pid: 1,
      ticket,
    };
    return { body: { $case: 'setLock', value } };
  }

  get store(): MemoryKvStore {
    return this.machine.store;
  }

  /** Changes a row behind the state machine's back. */
  edit<T>(key: Uint8Array, codec: RowCodec<T>, change: (row: T) => T): void {
    const value = codec.encode(change(codec.decode(this.store.getSync(key)!)));
    this.store.writeSync([{ type: 'put', key, value }]);
  }

  editAttr(ino: number, changes: Partial<Attr>): void {
    this.edit(inodeKey(ino), codecs.ATTR, (attr) => ({ ...attr, ...changes }));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.store.writeSync([{ type: 'put', key, value }]);
  }

  del(key: Uint8Array): void {
    assert.ok(this.store.getSync(key) !== undefined, 'the row to delete exists');
    this.store.writeSync([{ type: 'del', key }]);
  }
}

/** Name of the case, the damage, and the findings: each as check and, where it has one, inode. */
type Case = readonly [name: string, damage: (f: Everything) => void, ...wanted: readonly string[]];

const entry = (ino: number, type: number): Uint8Array => codecs.DENTRY.encode({ ino, type, version: 1 });

const TREE: readonly Case[] = [
  [
    'an entry without an inode',
    (f) => f.put(dentryKey(f.dir, ops.bytes('x')), entry(999, ops.REG)),
    'directory-size dir',
    'entry-without-inode 999',
  ],
  [
    'an entry that is missing',
    (f) => f.del(dentryKey(f.inner, ops.bytes('second name'))),
    'directory-size inner',
    'link-count file',
  ],
  [
    'the last entry of a file',
    (f) => f.del(dentryKey(1, ops.bytes('other'))),
    'directory-size 1',
    'link-count other',
  ],
  [
    'an entry of another type',
    (f) => f.put(dentryKey(1, ops.bytes('other')), entry(f.other, ops.LNK)),
    'entry-type other',
  ],
  ['a link count', (f) => f.editAttr(f.file, { nlink: 3 }), 'link-count file'],
  [
    'a file with names and nlink 0',
    (f) => f.editAttr(f.other, { nlink: 0 }),
    'orphan-row other',
    'link-count other',
  ],
  ['an orphan without its row', (f) => f.del(orphanKey(f.gone)), 'orphan-row gone'],
  [
    'an orphan row of a file with a name',
    (f) => f.put(orphanKey(f.other), codecs.ORPHAN.encode({ type: ops.REG, version: 1, linkable: false })),
    'orphan-row other',
  ],
  [
    'an orphan row without an inode',
    (f) => f.put(orphanKey(999), codecs.ORPHAN.encode({ type: ops.REG, version: 1, linkable: false })),
    'orphan-without-inode 999',
  ],
  ['a directory’s size', (f) => f.editAttr(f.dir, { size: 9 }), 'directory-size dir'],
  ['a directory’s links', (f) => f.editAttr(f.dir, { nlink: 2 }), 'link-count dir'],
  ['a directory’s parent', (f) => f.editAttr(f.inner, { parent: 1 }), 'directory-parent inner'],
  [
    'a directory with two names',
    (f) => f.put(dentryKey(1, ops.bytes('again')), entry(f.inner, ops.DIR)),
    'directory-size 1',
    'link-count 1',
    'directory-names inner',
    'directory-parent inner',
  ],
  [
    'a directory without a name',
    (f) => f.del(dentryKey(f.dir, ops.bytes('inner'))),
    'directory-size dir',
    'link-count dir',
    'directory-names inner',
    'unreachable inner',
    'unreachable innermost',
  ],
  [
    'a directory that is removed and has entries',
    (f) => f.put(dentryKey(f.goneDir, ops.bytes('x')), entry(f.other, ops.REG)),
    'link-count other',
    'directory-size goneDir',
  ],
  [
    'entries in a file',
    (f) => f.put(dentryKey(f.symlink, ops.bytes('x')), entry(f.other, ops.REG)),
    'link-count other',
    'not-a-directory symlink',
  ],
  [
    'entries of no directory',
    (f) => f.put(dentryKey(999, ops.bytes('x')), entry(f.other, ops.REG)),
    'link-count other',
    'entries-without-directory 999',
  ],
  ['a cycle', (f) => cycle(f), 'unreachable inner', 'unreachable innermost'],
  ['a lost root', (f) => f.del(inodeKey(1)), 'entries-without-directory 1', 'no-root 1', 'counters'],
  ['a row under another number', (f) => f.editAttr(f.other, { ino: 77 }), 'inode-number other'],
  ['a symbolic link’s size', (f) => f.editAttr(f.symlink, { size: 3 }), 'symlink-size symlink'],
  [
    'an attribute that is not listed',
    (f) => f.put(xattrKey(f.file, ops.bytes('user.c')), new Uint8Array(0)),
    'xattr-names file',
  ],
  ['attributes without their list', (f) => f.del(xattrNamesKey(f.file)), 'xattr-names file'],
  [
    'attributes of no inode',
    (f) => f.put(xattrKey(999, ops.bytes('user.c')), new Uint8Array(0)),
    'xattrs-without-inode 999',
  ],
  ['the flag of attributes', (f) => f.editAttr(f.file, { hasXattrs: false }), 'xattr-flag file'],
  ['the flag of an access list', (f) => f.editAttr(f.file, { hasAccessAcl: true }), 'xattr-flag file'],
];

/** dir/inner and dir/inner/innermost contain each other, with all counts right. */
function cycle(f: Everything): void {
  f.del(dentryKey(f.dir, ops.bytes('inner')));
  f.put(dentryKey(f.innermost, ops.bytes('inner')), entry(f.inner, ops.DIR));
  f.editAttr(f.dir, { nlink: 2, size: 2 });
  f.editAttr(f.innermost, { nlink: 3, size: 1 });
  f.editAttr(f.inner, { parent: f.innermost });
}

const CONTENT: readonly Case[] = [
  [
    'content of no inode',
    (f) =>
      f.put(
        chunkKey(999, 0),
        codecs.CHUNK.encode({ ino: 999, index: 0, version: 1, extents: [ops.inline(0, 'x')] }),
      ),
    'content-without-inode 999',
    'counters',
  ],
  [
    'a chunk that is missing',
    (f) => f.del(chunkKey(f.sparse, 7)),
    'allocated-bytes sparse',
    'chunk-index sparse',
    'block-references',
    'counters',
  ],
  ['a page of the index', (f) => f.del(chunkPageKey(f.sparse, 0)), 'chunk-index sparse'],
  ['the index of pages', (f) => f.del(chunkPagesKey(f.sparse)), 'chunk-index sparse'],
  [
    'an index row too many',
    (f) => f.put(chunkPageKey(f.file, 0), codecs.BITMAP.encode({ bits: Uint8Array.of(2), version: 1 })),
    'chunk-index file',
  ],
  ['content beyond the end', (f) => f.editAttr(f.other, { size: 1 }), 'content-beyond-end other'],
  ['a file’s allocated bytes', (f) => f.editAttr(f.other, { allocatedBytes: 1 }), 'allocated-bytes other'],
  [
    'content of a device',
    (f) => f.editAttr(f.other, { mode: 0o20644 }),
    'entry-type other',
    'not-a-file other',
  ],
  [
    'overlapping extents',
    (f) =>
      f.edit(chunkKey(f.other, 0), codecs.CHUNK, (row) => ({
        ...row,
        extents: row.extents.map((e) => ({ ...e, offset: 0 })),
      })),
    'bad-chunk other',
  ],
  [
    'an extent beyond its block',
    (f) =>
      f.edit(chunkKey(f.other, 0), codecs.CHUNK, (row) => ({
        ...row,
        extents: row.extents.map((e) => ({ ...e, blockOffset: 1 })),
      })),
    'bad-chunk other',
    'bad-chunk other',
  ],
  [
    'a chunk under another number',
    (f) => f.edit(chunkKey(f.other, 0), codecs.CHUNK, (row) => ({ ...row, index: 5 })),
    'bad-chunk other',
  ],
  [
    'a chunk row that is no message',
    (f) => f.put(chunkKey(f.file, 0), Uint8Array.of(0xff)),
    'unreadable-row',
    'allocated-bytes file',
    'block-references',
    'counters',
  ],
  ['a block without a row', (f) => f.del(blockKey(ops.blockId('a'))), 'block-unknown'],
  [
    'a reference count',
    (f) => f.edit(blockKey(ops.blockId('a')), codecs.BLOCK, (row) => ({ ...row, refs: 2 })),
    'block-references',
  ],
  [
    'a block that nothing refers to',
    (f) =>
      f.put(
        blockKey(ops.blockId('z')),
        codecs.BLOCK.encode({ refs: 1, length: 9, condemnedAt: 0, version: 1 }),
      ),
    'block-references',
  ],
  [
    'the length of a block',
    (f) => f.edit(blockKey(ops.blockId('a')), codecs.BLOCK, (row) => ({ ...row, length: 49 })),
    'block-length',
  ],
  [
    'a live block that is condemned',
    (f) => f.edit(blockKey(ops.blockId('a')), codecs.BLOCK, (row) => ({ ...row, condemnedAt: 3 })),
    'block-condemned',
    'condemned-list',
  ],
  [
    'a condemned block that is not listed',
    (f) => f.del(condemnedKey(condemnedAt(f), ops.blockId('old'))),
    'condemned-list',
  ],
  [
    'a listed block that is not condemned',
    (f) => f.put(condemnedKey(3, ops.blockId('a')), codecs.CONDEMNED.encode({ length: 50 })),
    'condemned-list',
  ],
  [
    'the counter of inodes',
    (f) => f.edit(COUNTERS_KEY, codecs.COUNTERS, (row) => ({ ...row, inodes: 1 })),
    'counters',
  ],
  [
    'the counter of bytes',
    (f) => f.edit(COUNTERS_KEY, codecs.COUNTERS, (row) => ({ ...row, allocatedBytes: 1 })),
    'counters',
  ],
  [
    'the next inode number',
    (f) => f.edit(COUNTERS_KEY, codecs.COUNTERS, (row) => ({ ...row, nextIno: 3 })),
    'counters',
  ],
  ['no cluster', (f) => f.del(CLUSTER_KEY), 'cluster-row'],
  [
    'rows of a newer version',
    (f) => f.edit(CLUSTER_KEY, codecs.CLUSTER, (row) => ({ ...row, formatVersion: 2 })),
    'format-version',
  ],
];

function condemnedAt(f: Everything): number {
  return codecs.BLOCK.decode(f.store.getSync(blockKey(ops.blockId('old')))!).condemnedAt;
}

const SESSIONS: readonly Case[] = [
  [
    'a lost session',
    (f) => f.del(sessionKey(f.waiter)),
    'answers-without-session',
    'locks-without-session',
    'lock-index',
    'session-nonce',
  ],
  ['a lost nonce', (f) => f.del(nonceKey(new Uint8Array(16).fill(7))), 'session-nonce'],
  [
    'the nonce of another session',
    (f) => f.put(nonceKey(new Uint8Array(16).fill(7)), codecs.NONCE.encode({ session: 1 })),
    'session-nonce',
  ],
  [
    'an answer before the window',
    (f) => f.edit(sessionKey(f.waiter), codecs.SESSION, (row) => ({ ...row, ackedBelow: 2 })),
    'session-answers',
  ],
  [
    'an answer after the window',
    (f) => f.put(answerKey(f.waiter, 50), f.store.getSync(answerKey(f.waiter, 1))!),
    'session-answers',
  ],
  [
    'a window that ends before it begins',
    (f) => f.edit(sessionKey(f.waiter), codecs.SESSION, (row) => ({ ...row, ackedBelow: 9 })),
    'session-window',
    'session-answers',
  ],
  [
    'lost buckets of locks',
    (f) => f.edit(sessionKey(f.session), codecs.SESSION, (row) => ({ ...row, lockBuckets: 0 })),
    'lock-index',
  ],
  [
    'a lost row of locked inodes',
    (f) => f.del(lockedInodesKey(f.session, f.file % 32)),
    'lock-index',
    'lock-index file',
  ],
  ['a lost row of a waiter', (f) => f.del(lockWaiterKey(f.waiter, 4)), 'lock-index file'],
  ['lost locks', (f) => f.del(lockKey(f.file)), 'lock-index file', 'lock-index file', 'lock-index file'],
  [
    'locks that exclude each other',
    (f) =>
      f.edit(lockKey(f.file), codecs.LOCK, (row) => ({
        ...row,
        held: [...row.held, ...row.waiting],
        waiting: [],
      })),
    'lock-conflict file',
    'lock-index file',
  ],
  [
    'a waiter for what is free',
    (f) => f.edit(lockKey(f.file), codecs.LOCK, (row) => ({ ...row, held: [] })),
    'lock-waiter file',
    'lock-index file',
  ],
];

describe('a walk over the rows of the namespace', () => {
  it('finds nothing in what the state machine makes, and counts it', async () => {
    const f = new Everything();
    const { findings, sums } = await namespaceFindings(f.store);
    assert.deepEqual(findings, []);
    assert.deepEqual(sums, {
      inodes: 11,
      directories: 5,
      entries: 8,
      orphans: 3,
      allocatedBytes: 5 + 50 + 25 + 50 + 10 + 30 + 5 * 10,
      inoMax: f.goneDir,
      blocks: 3 + 5,
      sessions: 2,
      unknownTables: [],
    });
  });

  it('finds nothing where nothing is', async () => {
    const { findings } = await namespaceFindings(new NamespaceFixture().machine.store);
    assert.deepEqual(findings, []);
  });

  it('says which tables it does not know', async () => {
    const f = new Everything();
    f.put(Uint8Array.of(0x71, 1), Uint8Array.of(1));
    const { findings, sums } = await namespaceFindings(f.store);
    assert.deepEqual([findings, sums.unknownTables], [[], [0x71]]);
  });

  for (const [title, cases] of [
    ['tree', TREE],
    ['content', CONTENT],
    ['sessions and locks', SESSIONS],
  ] as const) {
    for (const [name, damage, ...wanted] of cases) {
      it(`finds in the ${title}: ${name}`, async () => {
        const f = new Everything();
        damage(f);
        const named = Object.entries(f).filter(([, value]) => typeof value === 'number');
        const { findings } = await namespaceFindings(f.store);
        const found = findings.map(({ check, ino }) => {
          const place = named.find(
            ([key, value]) => value === ino && !['session', 'sequence', 'now', 'waiter'].includes(key),
          );
          return ino === undefined ? check : `${check} ${place?.[0] ?? ino}`;
        });
        assert.deepEqual(found.sort(), [...wanted].sort(), JSON.stringify(findings, null, 1));
      });
    }
  }
});
