/** Holes, fallocate, copies by reference and files without a name, over the VFS. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../../../src/base/bytes.ts';
import { FsError } from '../../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { CHUNK_SIZE_BYTES, FILE_SIZE_BYTES_MAX } from '../../../src/base/limits.ts';
import type { FileHandle } from '../../../src/ports/file-system.ts';
import type { Vfs } from '../../../src/vfs/vfs.ts';
import { MemoryFileContent } from '../../support/memory-file-content.ts';
import { sharedMemoryMeta } from '../../support/memory-meta-service.ts';
import {
  bytes,
  Cluster,
  createFile,
  errnoOf,
  gate,
  O_APPEND,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  ROOT,
  readAll,
  readPath,
  SMALL,
  settle,
  text,
  USER,
} from '../../support/vfs-fixture.ts';

const KEEP = 1;
const PUNCH = 2;
const ZERO = 16;

interface Open {
  readonly ino: Ino;
  readonly handle: FileHandle;
}

/** All data of a file, found by seeking; undefined where a seek says ENXIO although there is more. */
async function dataRanges(vfs: Vfs, { ino, handle }: Open): Promise<[from: number, to: number][]> {
  const out: [number, number][] = [];
  for (let at = 0; ; ) {
    const from = await vfs.seek(ino, handle, at, 'data').catch((error: FsError) => {
      assert.equal(error.code, 'ENXIO');
      return undefined;
    });
    if (from === undefined) return out;
    at = await vfs.seek(ino, handle, from, 'hole');
    out.push([from, at]);
  }
}

describe('holes', () => {
  it('are where neither unflushed bytes nor extents are', async () => {
    const { vfs } = new Cluster().mount(SMALL);
    const f = await createFile(vfs, 'f');
    await vfs.write(f.ino, f.handle, 10, bytes('x'.repeat(90)));
    await vfs.fsync(f.ino, f.handle, false);
    await vfs.write(f.ino, f.handle, 100, bytes('y'.repeat(10)));
    await vfs.write(f.ino, f.handle, 300, bytes('z'));
    await vfs.setattr(ROOT, f.ino, { size: 1000 });
    await vfs.write(f.ino, f.handle, 500, bytes('z'));
    assert.deepEqual(await dataRanges(vfs, f), [
      [10, 110],
      [300, 301],
      [500, 501],
    ]);
    assert.equal(await vfs.seek(f.ino, f.handle, 999, 'hole'), 999);
    assert.equal(await errnoOf(vfs.seek(f.ino, f.handle, 1000, 'hole')), 'ENXIO');
    assert.equal(await errnoOf(vfs.seek(f.ino, f.handle, 501, 'data')), 'ENXIO');
  });

  it('of terabytes are passed over with a few questions', async () => {
    const cluster = new Cluster();
    const writer = cluster.mount();
    const f = await createFile(writer.vfs, 'f');
    const places = [0, 5 * CHUNK_SIZE_BYTES, 2 ** 40, FILE_SIZE_BYTES_MAX - 1];
    for (const at of places) await writer.vfs.write(f.ino, f.handle, at, bytes('x'));
    await writer.vfs.fsync(f.ino, f.handle, false);
    let questions = 0;
    const reader = new Cluster(cluster.meta).mount();
    cluster.meta.hooks.beforeRead = () => {
      questions++;
    };
    const { handle } = await reader.vfs.open(ROOT, f.ino, O_RDONLY);
    const expected = places.map((at) => [at, at + 1]);
    assert.deepEqual(await dataRanges(reader.vfs, { ino: f.ino, handle }), expected);
    assert.ok(questions < 40, `${questions} questions`);
  });

  it('follow what another mount does', async () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.mount(SMALL), cluster.mount(SMALL)];
    const f = await createFile(a.vfs, 'f');
    await a.vfs.write(f.ino, f.handle, 0, bytes('x'.repeat(300)));
    await a.vfs.fsync(f.ino, f.handle, false);
    const g = { ino: f.ino, handle: (await b.vfs.open(ROOT, f.ino, O_RDWR)).handle };
    assert.deepEqual(await dataRanges(b.vfs, g), [[0, 300]]);
    await b.vfs.fallocate(ROOT, f.ino, g.handle, PUNCH | KEEP, 50, 100);
    assert.deepEqual(await dataRanges(a.vfs, f), [
      [0, 50],
      [150, 300],
    ]);
    assert.ok(a.invalidations.some(({ ino, data }) => ino === f.ino && data));
  });
});

describe('fallocate', () => {
  it('is one commit together with what was written before, and keeps what is written after', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount(SMALL);
    const f = await createFile(vfs, 'f');
    await vfs.write(f.ino, f.handle, 0, bytes('a'.repeat(20)));
    const before = meta.commits.length;
    await vfs.fallocate(ROOT, f.ino, f.handle, ZERO, 5, 20);
    assert.deepEqual(
      meta.commits.slice(before).map((ops) => ops.map((op) => op.body?.$case)),
      [['writeExtents', 'fallocate']],
    );
    await vfs.write(f.ino, f.handle, 7, bytes('bb'));
    assert.equal(text(await readAll(vfs, f.ino, f.handle)), `aaaaa\0\0bb${'\0'.repeat(16)}`);
    assert.equal((await vfs.getattr(f.ino)).allocatedBytes, 7);
    await vfs.flush(f.ino, f.handle);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')), `aaaaa\0\0bb${'\0'.repeat(16)}`);
  });

  it('never shrinks a file that another mount has made longer', async () => {
    const cluster = new Cluster();
    const [a, b] = [cluster.mount(), cluster.mount()];
    const f = await createFile(a.vfs, 'f');
    const other = await b.vfs.open(ROOT, f.ino, O_WRONLY);
    await b.vfs.write(f.ino, other.handle, 0, bytes('longer than that'));
    await b.vfs.fsync(f.ino, other.handle, false);
    await a.vfs.fallocate(ROOT, f.ino, f.handle, 0, 0, 4);
    assert.equal(text(await readAll(a.vfs, f.ino, f.handle)), 'longer than that');
  });

  it('is refused when the cluster cannot hold it, and says EBADF, EINVAL, EFBIG and EOPNOTSUPP', async () => {
    const cluster = new Cluster(sharedMemoryMeta({ capacityBytes: 1000 }));
    const { vfs } = cluster.mount();
    const f = await createFile(vfs, 'f');
    const allocate = (mode: number, offset: number, length: number, handle = f.handle) =>
      errnoOf(vfs.fallocate(ROOT, f.ino, handle, mode, offset, length));
    assert.equal(await allocate(KEEP, 0, 1001), 'ENOSPC');
    assert.equal((await vfs.getattr(f.ino)).size, 0);
    assert.equal(await allocate(0, 0, 1000), undefined);
    await vfs.write(f.ino, f.handle, 0, bytes('x'.repeat(800)));
    await vfs.fsync(f.ino, f.handle, false);
    assert.equal(await allocate(0, 0, 1000), undefined, 'what the file has needs no more room');
    assert.equal(await allocate(ZERO, 0, 10_000), undefined, 'zeros need none');
    assert.equal(await allocate(0, 0, 0), 'EINVAL');
    assert.equal(await allocate(0, -1, 5), 'EINVAL');
    assert.equal(await allocate(0, 1, FILE_SIZE_BYTES_MAX), 'EFBIG');
    for (const mode of [PUNCH, 8, 8 | KEEP, 32, 64, PUNCH | ZERO | KEEP]) {
      assert.equal(await allocate(mode, 0, 10), 'EOPNOTSUPP', String(mode));
    }
    const { handle } = await vfs.open(ROOT, f.ino, O_RDONLY);
    assert.equal(await allocate(0, 0, 10, handle), 'EBADF');
  });
});

describe('copyFileRange', () => {
  it('stores no block, whatever was flushed before', async () => {
    const cluster = new Cluster();
    const { vfs, blocks } = cluster.mount(SMALL);
    const [f, g] = [await createFile(vfs, 'f'), await createFile(vfs, 'g')];
    const data = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7 + (i >> 6)) & 0xff);
    await vfs.write(f.ino, f.handle, 0, data.subarray(0, 500));
    await vfs.fsync(f.ino, f.handle, false);
    await vfs.write(f.ino, f.handle, 500, data.subarray(500));
    await vfs.write(g.ino, g.handle, 0, bytes('-'.repeat(100)));
    const end = (open: Open, offset: number) => ({ ...open, offset });
    assert.equal(await vfs.copyFileRange(ROOT, end(f, 0), end(g, 50), 5000), 1000);
    const [puts, gets] = [blocks.puts.length, blocks.gets.length];
    assert.equal(await vfs.copyFileRange(ROOT, end(f, 33), end(g, 1050), 500), 500);
    assert.equal(await vfs.copyFileRange(ROOT, end(f, 1000), end(g, 0), 10), 0);
    assert.deepEqual([blocks.puts.length, blocks.gets.length], [puts, gets], 'nothing was moved');
    const expected = concatBytes([bytes('-'.repeat(50)), data, data.subarray(33, 533)]);
    assert.deepEqual(await readAll(vfs, g.ino, g.handle), expected);
    assert.deepEqual(await readPath(cluster.mount(SMALL).vfs, 'g'), expected);
    assert.equal((await vfs.getattr(g.ino)).allocatedBytes, 1550);
  });

  it('leaves to the kernel what is too fragmented, and refuses handles that cannot be written to', async () => {
    const { vfs, meta } = new Cluster().mount(SMALL);
    const [f, g] = [await createFile(vfs, 'f'), await createFile(vfs, 'g')];
    await vfs.write(f.ino, f.handle, 0, bytes('content'));
    await vfs.fsync(f.ino, f.handle, false);
    const from = { ...f, offset: 0 };
    meta.failNextCommit(new FsError('E2BIG'));
    assert.equal(await errnoOf(vfs.copyFileRange(ROOT, from, { ...g, offset: 0 }, 5)), 'EOPNOTSUPP');
    for (const flags of [O_RDONLY, O_WRONLY | O_APPEND]) {
      const { handle } = await vfs.open(ROOT, g.ino, flags);
      const to = { ino: g.ino, handle, offset: 0 };
      assert.equal(await errnoOf(vfs.copyFileRange(ROOT, from, to, 5)), 'EBADF');
    }
    assert.equal(await errnoOf(vfs.copyFileRange(ROOT, from, { ...f, offset: 3 }, 5)), 'EINVAL');
    await vfs.setattr(ROOT, g.ino, { mode: 0o6755 });
    await vfs.copyFileRange(USER, from, { ...g, offset: 0 }, 5);
    assert.equal((await vfs.getattr(g.ino)).mode & 0o7777, 0o755);
  });
});

describe('random ranges', () => {
  const offset = fc.nat(300);
  const length = fc.integer({ min: 1, max: 200 });
  const operation = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ op: fc.constant('write' as const), file: fc.nat(1), at: offset, length }),
    },
    fc.record({
      op: fc.constantFrom('punch' as const, 'zero' as const, 'grow' as const),
      file: fc.nat(1),
      at: offset,
      length,
    }),
    fc.record({ op: fc.constant('truncate' as const), file: fc.nat(1), at: offset, length }),
    fc.record({
      op: fc.constantFrom('sync' as const, 'check' as const),
      file: fc.nat(1),
      at: offset,
      length,
    }),
    {
      weight: 2,
      arbitrary: fc.record({
        op: fc.constant('copy' as const),
        file: fc.nat(1),
        at: offset,
        length,
        from: offset,
      }),
    },
  );

  it('agree with a file in memory, to the byte, in content and in holes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
        const { vfs } = new Cluster().mount(SMALL);
        const files = [await createFile(vfs, 'f'), await createFile(vfs, 'g')];
        const models = [new MemoryFileContent(), new MemoryFileContent()];
        const check = async (i: number): Promise<void> => {
          const { ino, handle } = files[i]!;
          const model = models[i]!;
          assert.deepEqual(await readAll(vfs, ino, handle, 2000), concatBytes(model.read(0, 2000)));
          const ranges: [number, number][] = [];
          for (let at = model.seek(0, 'data'); at !== undefined; at = model.seek(ranges.at(-1)![1], 'data')) {
            ranges.push([at, model.seek(at, 'hole')!]);
          }
          assert.deepEqual(await dataRanges(vfs, files[i]!), ranges);
          await vfs.fsync(ino, handle, false);
          const attr = await vfs.getattr(ino);
          assert.deepEqual([attr.size, attr.allocatedBytes], [model.size, model.allocatedBytes]);
        };
        for (const [step, each] of operations.entries()) {
          const { ino, handle } = files[each.file]!;
          const model = models[each.file]!;
          const { at } = each;
          switch (each.op) {
            case 'write': {
              const data = new Uint8Array(each.length).fill(step + 1);
              await vfs.write(ino, handle, at, data);
              model.write(at, data);
              break;
            }
            case 'punch':
            case 'zero':
              await vfs.fallocate(
                ROOT,
                ino,
                handle,
                each.op === 'punch' ? PUNCH | KEEP : ZERO,
                at,
                each.length,
              );
              model.punch(at, Math.min(at + each.length, Math.max(at, model.size)));
              if (each.op === 'zero') model.size = Math.max(model.size, at + each.length);
              break;
            case 'grow':
              await vfs.fallocate(ROOT, ino, handle, 0, at, each.length);
              model.size = Math.max(model.size, at + each.length);
              break;
            case 'truncate':
              await vfs.setattr(ROOT, ino, { size: at });
              model.truncate(at);
              break;
            case 'sync':
              await vfs.fsync(ino, handle, false);
              break;
            case 'check':
              await check(each.file);
              break;
            case 'copy': {
              const source = files[1 - each.file]!;
              const asked = Math.max(0, Math.min(each.length, models[1 - each.file]!.size - each.from));
              const copied = await vfs.copyFileRange(
                ROOT,
                { ...source, offset: each.from },
                { ino, handle, offset: at },
                each.length,
              );
              assert.equal(copied, asked);
              if (asked > 0) model.copy(models[1 - each.file]!, each.from, at, asked);
            }
          }
        }
        await check(0);
        await check(1);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a file without a name', () => {
  it('is an orphan that lives while it is open', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount();
    const { handle, attr } = await vfs.tmpfile(USER, ROOT_INO, 0o600, O_RDWR);
    const ino = attr.ino as Ino;
    assert.deepEqual([attr.nlink, attr.uid, attr.mode], [0, USER.uid, 0o100600]);
    await vfs.write(ino, handle, 0, bytes('hello'));
    assert.equal(await cluster.meta.reapOrphans(), 0);
    assert.equal(text(await readAll(vfs, ino, handle)), 'hello');
    const commits = meta.commits.length;
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    assert.equal(meta.commits.length, commits, 'its content is not worth storing');
    assert.equal(await cluster.meta.reapOrphans(), 1);
    assert.equal(await errnoOf(vfs.getattr(ino)), 'ESTALE');
  });

  it('gets a name with all that was written to it, also when it is closed meanwhile', async () => {
    const linking = gate();
    const cluster = new Cluster(
      sharedMemoryMeta({
        hooks: {
          beforeCommit: async (_client, ops) => {
            if (ops.some((op) => op.body?.$case === 'link')) await linking.wait();
          },
        },
      }),
    );
    const { vfs } = cluster.mount();
    const { handle, attr } = await vfs.tmpfile(ROOT, ROOT_INO, 0o600, O_WRONLY);
    const ino = attr.ino as Ino;
    await vfs.write(ino, handle, 0, bytes('before'));
    const linked = vfs.link(ino, ROOT_INO, bytes('name'));
    await settle();
    await vfs.write(ino, handle, 6, bytes(' and after'));
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    assert.equal(await cluster.meta.reapOrphans(), 0, 'it is held until it has its name');
    linking.open();
    assert.equal((await linked).nlink, 1);
    assert.equal(text(await readPath(cluster.mount().vfs, 'name')), 'before and after');
    assert.equal(vfs.stats().openInodes, 0);
  });

  it('gets none with O_EXCL, and is not taken for closed before its maker has heard of it', async () => {
    const answer = gate();
    const cluster = new Cluster(sharedMemoryMeta({ hooks: { afterCommit: () => answer.wait() } }));
    const { vfs } = cluster.mount();
    const making = vfs.tmpfile(ROOT, ROOT_INO, 0o600, O_RDWR | O_EXCL);
    await settle();
    assert.equal(await cluster.meta.reapOrphans(), 0);
    answer.open();
    const { handle, attr } = await making;
    const ino = attr.ino as Ino;
    assert.equal(await errnoOf(vfs.link(ino, ROOT_INO, bytes('name'))), 'ENOENT');
    await vfs.release(ino, handle);
    assert.equal(await cluster.meta.reapOrphans(), 1);
  });

  it('is gone with the session of a mount that died', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount();
    await vfs.tmpfile(ROOT, ROOT_INO, 0o600, O_RDWR);
    cluster.meta.forget(meta);
    assert.equal(await cluster.meta.reapOrphans(), 1);
  });
});
