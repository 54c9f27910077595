import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import { ROOT_INO } from '../../../src/base/ids.ts';
import { type InodeChange, PreconditionFailed } from '../../../src/ports/meta-service.ts';
import { sharedMemoryMeta } from '../../support/memory-meta-service.ts';
import {
  block,
  blockId,
  bytes,
  inline,
  mkdir,
  mkfile,
  text,
  unlink,
  write,
} from '../../support/namespace-ops.ts';

test('what one client commits another reads, and is told of before the commit is answered', async () => {
  const meta = sharedMemoryMeta();
  const [a, b] = [meta.client(), meta.client()];
  const seen: (readonly InodeChange[] | undefined)[] = [];
  b.onChange((change) => seen.push(change));
  a.onChange(() => assert.fail('a client is not told of its own changes'));
  const ok = await a.commit([mkdir(1, 'd'), mkfile(Number.MAX_SAFE_INTEGER, 'f')]);
  assert.equal(seen.length, 1);
  assert.deepEqual(
    seen[0]?.map((change) => change.ino),
    ok.touched.map((touched) => touched.attr?.ino),
  );
  const d = await b.lookup(ROOT_INO, bytes('d'));
  assert.equal(d?.ino, ok.results[0]?.ino);
  const listing = await b.readdir(d?.ino as Ino, new Uint8Array(0), 10, true);
  assert.deepEqual(
    listing.entries.map((entry) => text(entry.name)),
    ['f'],
  );
  assert.equal(listing.end, true);
});

test('missing blocks are asked for once, then the commit goes through', async () => {
  const meta = sharedMemoryMeta();
  const a = meta.client();
  const ino = (await a.commit([mkfile(1, 'f')])).results[0]!.ino;
  const asked: Uint8Array[] = [];
  const options = {
    assumedBlocks: [blockId('x')],
    onMissing: async (ids: readonly Uint8Array[]) => {
      asked.push(...ids);
    },
  };
  await a.commit([write(ino, [block(0, 100, 'x')])], options);
  assert.deepEqual(asked, [blockId('x')]);
  await a.commit([write(ino, [block(200, 100, 'x')])], options);
  assert.equal(asked.length, 1);
});

test('errors arrive as FsError, preconditions as PreconditionFailed', async () => {
  const meta = sharedMemoryMeta();
  const a = meta.client();
  await assert.rejects(a.commit([unlink(1, 'nothing')]), { code: 'ENOENT', message: 'ENOENT' });
  const preconditions = [{ body: { $case: 'inode' as const, value: { ino: 1, version: 99 } } }];
  await assert.rejects(a.commit([mkfile(1, 'f')], { preconditions }), PreconditionFailed);
  a.failNextCommit(new FsError('ETIMEDOUT'));
  await assert.rejects(a.commit([mkfile(1, 'f')]), { code: 'ETIMEDOUT' });
  assert.equal(await a.lookup(ROOT_INO, bytes('f')), undefined);
});

test('unlinked content stays while some client has it open', async () => {
  const meta = sharedMemoryMeta();
  const [a, b] = [meta.client(), meta.client()];
  const ino = (await a.commit([mkfile(1, 'f'), write(Number.MAX_SAFE_INTEGER, [inline(0, 'abc')])]))
    .results[0]!.ino as Ino;
  let open: readonly Ino[] = [ino];
  b.setOpenInodesProbe((inos) => inos.filter((candidate) => open.includes(candidate)));
  await a.commit([unlink(1, 'f')]);
  assert.equal(await meta.reapOrphans(), 0);
  assert.equal((await b.getattr(ino)).nlink, 0);
  open = [];
  assert.equal(await meta.reapOrphans(), 1);
  await assert.rejects(b.getattr(ino), { code: 'ESTALE' });
});

test('an expired session is replaced, and the client told that it may be stale', async () => {
  const meta = sharedMemoryMeta();
  const a = meta.client();
  await a.commit([mkfile(1, 'f')]);
  const before = a.session;
  const seen: unknown[] = [];
  a.onChange((change) => seen.push(change));
  meta.expire(a);
  await a.commit([mkfile(1, 'g')]);
  assert.notEqual(a.session, before);
  assert.deepEqual(seen, [undefined]);
});
