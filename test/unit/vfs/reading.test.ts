import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes } from '../../../src/base/bytes.ts';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import {
  bytes,
  Cluster,
  createFile,
  errnoOf,
  O_RDONLY,
  O_RDWR,
  ROOT,
  readAll,
  readPath,
  SMALL,
  settle,
  text,
} from '../../support/vfs-fixture.ts';

const KIB = 1024;

describe('reading', () => {
  it('fetches the blocks of one request together and those ahead before they are asked for', async () => {
    const cluster = new Cluster();
    const writer = cluster.mount(SMALL);
    const { ino, handle } = await createFile(writer.vfs, 'f');
    await writer.vfs.write(
      ino,
      handle,
      0,
      new Uint8Array(64 * 30).map((_, i) => i),
    );
    await writer.vfs.flush(ino, handle);
    const { vfs, blocks } = cluster.mount(SMALL);
    const opened = await vfs.open(ROOT, ino, O_RDONLY);
    let waiting = 0;
    let most = 0;
    blocks.hooks.beforeGet = async () => {
      most = Math.max(most, ++waiting);
      await settle();
      waiting--;
    };
    const got = concatBytes(await vfs.read(ino, opened.handle, 0, 64 * 4));
    assert.deepEqual(
      got,
      new Uint8Array(64 * 4).map((_, i) => i),
    );
    assert.equal(most, 4);
    assert.equal(blocks.prefetched.length, 0);
    await vfs.read(ino, opened.handle, 64 * 4, 64);
    assert.ok(blocks.prefetched.length >= 2);
  });

  it('fetches ahead over the end of a chunk', async () => {
    const cluster = new Cluster();
    const writer = cluster.mount();
    const { ino, handle } = await createFile(writer.vfs, 'f');
    const mib = 1 << 20;
    // Four blocks, two on either side of the end of the first chunk.
    for (let at = 56; at < 72; at++) {
      await writer.vfs.write(ino, handle, at * mib, new Uint8Array(mib).fill(at));
    }
    await writer.vfs.flush(ino, handle);
    const { vfs, blocks } = cluster.mount();
    const opened = await vfs.open(ROOT, ino, O_RDONLY);
    for (let at = 56; at < 59; at++) await vfs.read(ino, opened.handle, at * mib, mib);
    assert.ok(new Set(blocks.prefetched).size >= 3, `${new Set(blocks.prefetched).size} blocks ahead`);
  });

  it('hands out views of blocks and not copies', async () => {
    const { vfs, blocks } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(64).fill(5));
    await vfs.fsync(ino, handle, false);
    const [piece] = await vfs.read(ino, handle, 10, 20);
    assert.equal(piece!.buffer, [...blocks.blocks.values()][0]!.buffer);
  });

  it('sees what another mount wrote as soon as that is committed', async () => {
    const cluster = new Cluster();
    const a = cluster.mount(SMALL);
    const b = cluster.mount(SMALL);
    const { ino, handle } = await createFile(a.vfs, 'f');
    await a.vfs.write(ino, handle, 0, bytes('aaaa'));
    await a.vfs.flush(ino, handle);
    const other = await b.vfs.open(ROOT, ino, O_RDWR);
    assert.equal(text(await readAll(b.vfs, ino, other.handle)), 'aaaa');
    await b.vfs.write(ino, other.handle, 2, bytes('bbbb'));
    await b.vfs.flush(ino, other.handle);
    assert.equal(text(await readAll(a.vfs, ino, handle)), 'aabbbb');
  });

  it('starts over when the blocks that it was about to read are gone with the old content', async () => {
    const cluster = new Cluster();
    const a = cluster.mount(SMALL);
    const b = cluster.mount(SMALL);
    const { ino, handle } = await createFile(a.vfs, 'f');
    await a.vfs.write(ino, handle, 0, new Uint8Array(64).fill(1));
    await a.vfs.flush(ino, handle);
    const other = await b.vfs.open(ROOT, ino, O_RDWR);
    a.blocks.hooks.beforeGet = async (id) => {
      a.blocks.hooks.beforeGet = () => undefined;
      await b.vfs.write(ino, other.handle, 0, new Uint8Array(64).fill(2));
      await b.vfs.flush(ino, other.handle);
      cluster.blocks.delete(id);
    };
    assert.deepEqual(await readAll(a.vfs, ino, handle), new Uint8Array(64).fill(2));
  });

  it('reports a block that is really gone', async () => {
    const { vfs, blocks, logs } = new Cluster().mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(64).fill(1));
    await vfs.flush(ino, handle);
    blocks.blocks.clear();
    assert.equal(await errnoOf(vfs.read(ino, handle, 0, 10)), 'EIO');
    assert.ok(logs.some((l) => l.level === 'warn' && l.fields['op'] === 'read' && l.fields['ino'] === ino));
  });
});

describe('compaction', () => {
  it('rewrites a fragmented window as one block and keeps content, times and holes', async () => {
    const cluster = new Cluster();
    const { vfs, meta } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    const oracle = new Uint8Array(200);
    const put = async (at: number, data: Uint8Array): Promise<void> => {
      await vfs.write(ino, handle, at, data);
      oracle.set(data, at);
    };
    await put(190, bytes('ten bytes.'));
    for (const at of [0, 20, 40]) await put(at, bytes('0123456789'));
    await vfs.fsync(ino, handle, false);
    for (let i = 0; i < 10; i++) {
      await put(40 + i, new Uint8Array([i + 1]));
      await vfs.fsync(ino, handle, false);
    }
    const before = await vfs.getattr(ino);
    await vfs.quiesce();
    assert.equal(vfs.stats().windowsCompacted, 1);
    const after = await vfs.getattr(ino);
    assert.deepEqual([after.mtimeSec, after.mtimeNsec], [before.mtimeSec, before.mtimeNsec]);
    assert.equal(after.size, 200);
    const { chunks } = await meta.getChunks(ino, 0, 1);
    const window = chunks[0]!.extents.filter((e) => e.offset < 64);
    assert.ok(window.length <= 8, `${window.length} extents`);
    const inHoles = window.filter(
      (e) =>
        e.offset + e.length > 50 ||
        (e.offset < 20 && e.offset + e.length > 10) ||
        (e.offset < 40 && e.offset + e.length > 30),
    );
    assert.deepEqual(inHoles, [], 'holes stay holes');
    assert.deepEqual(await readAll(vfs, ino, handle), oracle);
    assert.deepEqual(await readPath(cluster.mount().vfs, 'f'), oracle);
  });

  it('gives way to a write that comes in between', async () => {
    const cluster = new Cluster();
    const { vfs } = cluster.mount(SMALL);
    const other = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    await vfs.write(ino, handle, 0, new Uint8Array(64).fill(1));
    await vfs.fsync(ino, handle, false);
    const theirs = await other.vfs.open(ROOT, ino, O_RDWR);
    cluster.meta.hooks.beforeCommit = async (_client, ops) => {
      const body = ops[0]?.body;
      if (body?.$case !== 'writeExtents' || !body.value.keepTimes) return;
      cluster.meta.hooks.beforeCommit = () => undefined;
      await other.vfs.write(ino, theirs.handle, 60, bytes('!!!!'));
      await other.vfs.flush(ino, theirs.handle);
    };
    for (let i = 0; i < 10; i++) {
      await vfs.write(ino, handle, i * 2, new Uint8Array([9]));
      await vfs.fsync(ino, handle, false);
    }
    await vfs.quiesce();
    assert.equal(vfs.stats().windowsCompacted, 0);
    assert.equal(text((await readAll(vfs, ino, handle)).subarray(60)), '!!!!');
  });

  it('makes room when a chunk has as many extents as a row may have', async () => {
    const cluster = new Cluster();
    const blockSizeBytes = 4 * KIB * KIB;
    const { vfs, meta } = cluster.mount({ blockSizeBytes, dirtyBytesMax: 64 * KIB * KIB });
    const { ino, handle } = await createFile(vfs, 'f');
    const oracle = new Uint8Array(2 * blockSizeBytes).fill(1);
    await vfs.write(ino, handle, 0, oracle);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 2500; i++) {
        const at = i * 3000 + round * 997;
        await vfs.write(ino, handle, at, new Uint8Array([i & 0xff, round]));
        oracle.set([i & 0xff, round], at);
      }
      await vfs.fsync(ino, handle, false);
    }
    await vfs.quiesce();
    const { chunks } = await meta.getChunks(ino, 0, 1);
    assert.ok(chunks[0]!.extents.length <= 4096);
    assert.ok(Buffer.compare(await readAll(vfs, ino, handle, oracle.length), oracle) === 0);
    assert.ok(Buffer.compare(concatBytes([await readPathAll(cluster, oracle.length)]), oracle) === 0);
  });
});

async function readPathAll(cluster: Cluster, length: number): Promise<Uint8Array> {
  const { vfs } = cluster.mount();
  const { ino } = await vfs.lookup(ROOT_INO, bytes('f'));
  const { handle } = await vfs.open(ROOT, ino as Ino, O_RDONLY);
  return await readAll(vfs, ino as Ino, handle, length);
}
