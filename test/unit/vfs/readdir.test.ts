import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import type { DirectoryEntry } from '../../../src/ports/file-system.ts';
import { bytes, Cluster, errnoOf, ROOT, text } from '../../support/vfs-fixture.ts';

const nameOf = (entry: DirectoryEntry): string => text(entry.name);

async function directoryOf(count: number) {
  const cluster = new Cluster();
  const a = cluster.mount().vfs;
  const b = cluster.mount().vfs;
  const ino = (await a.mkdir(ROOT, ROOT_INO, bytes('d'), 0o755)).ino as Ino;
  for (let i = 0; i < count; i++)
    await a.mknod(ROOT, ino, bytes(`f${String(i).padStart(4, '0')}`), 0o100644, 0);
  return { cluster, a, b, ino, handle: await a.opendir(ino) };
}

describe('readdir', () => {
  it('starts with . and .. and gives every entry once, in small and large portions', async () => {
    for (const limit of [1, 2, 3, 7, 100, 5000]) {
      const { a, ino, handle } = await directoryOf(200);
      const names: string[] = [];
      let cookie = 0;
      for (;;) {
        const entries = await a.readdir(ino, handle, cookie, limit, false);
        if (entries.length === 0) break;
        assert.ok(entries.length <= limit);
        names.push(...entries.map(nameOf));
        cookie = entries.at(-1)!.cookie;
      }
      assert.deepEqual(names.slice(0, 2), ['.', '..']);
      assert.equal(names.length, 202);
      assert.equal(new Set(names).size, 202);
    }
  });

  it('gives the inode numbers of . and ..', async () => {
    const { a, ino, handle } = await directoryOf(0);
    const entries = await a.readdir(ino, handle, 0, 10, true);
    assert.deepEqual(
      entries.map((e) => e.ino),
      [ino, ROOT_INO],
    );
    assert.deepEqual(
      entries.map((e) => e.attr),
      [undefined, undefined],
    );
  });

  it('neither loses nor repeats what stays while others remove and add', async () => {
    const { a, b, ino, handle } = await directoryOf(300);
    const seen: string[] = [];
    let cookie = 0;
    for (let round = 0; ; round++) {
      const entries = await a.readdir(ino, handle, cookie, 10, round % 2 === 0);
      if (entries.length === 0) break;
      seen.push(...entries.map(nameOf));
      cookie = entries.at(-1)!.cookie;
      // rm -r: what was just read goes, through this mount or another; odd ones stay.
      for (const entry of entries) {
        const name = nameOf(entry);
        if (name.startsWith('f') && Number(name.slice(1)) % 2 === 0) {
          await (round % 3 === 0 ? a : b).unlink(ino, entry.name);
        }
      }
      await b.mknod(ROOT, ino, bytes(`new${round}`), 0o100644, 0);
    }
    const staying = seen.filter((name) => name.startsWith('f') && Number(name.slice(1)) % 2 === 1);
    assert.equal(staying.length, 150);
    assert.equal(new Set(seen).size, seen.length);
  });

  it('continues from any position that it gave out, and from the start', async () => {
    const { a, b, ino, handle } = await directoryOf(50);
    const all: DirectoryEntry[] = [];
    for (let cookie = 0; ; cookie = all.at(-1)!.cookie) {
      const entries = await a.readdir(ino, handle, cookie, 8, false);
      if (entries.length === 0) break;
      all.push(...entries);
    }
    const at = all[20]!;
    const [next] = await a.readdir(ino, handle, at.cookie, 1, false);
    assert.equal(nameOf(next!), nameOf(all[21]!));
    await b.unlink(ino, at.name);
    const [again] = await a.readdir(ino, handle, at.cookie, 1, false);
    assert.equal(nameOf(again!), nameOf(all[21]!), 'the position outlives its entry');
    await b.mknod(ROOT, ino, bytes('a-first'), 0o100644, 0);
    const rewound = await a.readdir(ino, handle, 0, 3, false);
    assert.deepEqual(rewound.map(nameOf), ['.', '..', 'a-first']);
    assert.equal(await errnoOf(a.readdir(ino, handle, 1000, 3, false)), 'EINVAL');
  });

  it('keeps positions behind one from which it was read again, whatever has come and gone meanwhile', async () => {
    const { a, b, ino, handle } = await directoryOf(60);
    const all: DirectoryEntry[] = [];
    for (let cookie = 0; ; cookie = all.at(-1)!.cookie) {
      const entries = await a.readdir(ino, handle, cookie, 8, false);
      if (entries.length === 0) break;
      all.push(...entries);
    }
    const behind = async (position: number, count: number): Promise<readonly DirectoryEntry[]> =>
      await a.readdir(ino, handle, all[position]!.cookie, count, false);
    const names = (entries: readonly DirectoryEntry[]): string[] => entries.map(nameOf);
    assert.deepEqual(names(await behind(5, 8)), names(all.slice(6, 14)));
    assert.deepEqual(names(await behind(40, 1)), names(all.slice(41, 42)));
    // As before, the same positions.
    assert.deepEqual(await behind(5, 8), all.slice(6, 14));

    await b.unlink(ino, all[10]!.name);
    await b.mknod(ROOT, ino, bytes('f0002-new'), 0o100644, 0);
    const changed = await behind(3, 10);
    assert.deepEqual(names(changed), [
      ...names(all.slice(4, 5)),
      'f0002-new',
      ...names(all.slice(5, 10)),
      ...names(all.slice(11, 14)),
    ]);
    for (const position of [5, 8, 10, 13, 30, 60]) {
      assert.deepEqual(names(await behind(position, 1)), names(all.slice(position + 1, position + 2)));
    }
    const last = changed.at(-1)!.cookie;
    assert.deepEqual(names(await a.readdir(ino, handle, last, 2, false)), names(all.slice(14, 16)));
  });

  it('shows attributes as they are when handed out', async () => {
    const { a, b, ino, handle } = await directoryOf(100);
    const first = await a.readdir(ino, handle, 0, 3, true);
    const target = await b.lookup(ino, bytes('f0050'));
    await b.setattr(ROOT, target.ino as Ino, { size: 77 });
    const rest = await a.readdir(ino, handle, first.at(-1)!.cookie, 200, true);
    assert.equal(rest.find((e) => nameOf(e) === 'f0050')!.attr!.size, 77);
  });

  it('of a removed directory is empty, and ENOTDIR for a file', async () => {
    const { a, b, ino, handle } = await directoryOf(0);
    await b.rmdir(ROOT_INO, bytes('d'));
    const entries = await a.readdir(ino, handle, 2, 10, false);
    assert.deepEqual(entries, []);
    const file = await a.mknod(ROOT, ROOT_INO, bytes('f'), 0o100644, 0);
    assert.equal(await errnoOf(a.opendir(file.ino as Ino)), 'ENOTDIR');
  });

  it('reads ahead while nothing changes', async () => {
    const { cluster, a, ino, handle } = await directoryOf(900);
    let reads = 0;
    cluster.meta.hooks.beforeRead = (_client, method) => {
      if (method === 'readdir') reads++;
    };
    for (let cookie = 0; ; ) {
      const entries = await a.readdir(ino, handle, cookie, 20, true);
      if (entries.length === 0) break;
      cookie = entries.at(-1)!.cookie;
    }
    assert.ok(reads <= 3, `${reads} round trips`);
  });
});
