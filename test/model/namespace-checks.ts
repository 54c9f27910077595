import assert from 'node:assert/strict';
import { toHex } from '../../src/base/bytes.ts';
import { hasBit } from '../../src/core/namespace/bitmap.ts';
import {
  blockIdOfKey,
  chunkIndexOfKey,
  chunkPageKey,
  chunkPagesKey,
  condemnedKey,
  nameOfKey,
  numberOfKey,
  TABLE,
  tableRange,
} from '../../src/core/namespace/keys.ts';
import { ATTR, BITMAP, BLOCK, CHUNK, COUNTERS, DENTRY, XATTR } from '../../src/core/namespace/rows.ts';
import type { Attr, Extent } from '../../src/gen/ringfs/v1/namespace.ts';
import type { MemoryKvStore } from '../support/memory-kv-store.ts';
import { text } from '../support/namespace-ops.ts';
import type { Oracle, OracleNode } from './namespace-oracle.ts';

type Pair = readonly [key: Uint8Array, value: Uint8Array];

const table = (store: MemoryKvStore, number: number): Pair[] => store.scanSync(tableRange(number));

/** A tag for each byte of an extent: which byte of which block it is, or the inline byte itself. */
export function tagsOf(extent: Extent): string[] {
  const id = toHex(extent.blockId.subarray(0, 6));
  return Array.from({ length: extent.length }, (_, i) =>
    id === '' ? `inline ${extent.inline[i]}` : `${id} ${extent.blockOffset + i}`,
  );
}

function group<T>(
  pairs: readonly Pair[],
  decode: (key: Uint8Array, value: Uint8Array) => T,
): Map<number, T[]> {
  const out = new Map<number, T[]>();
  for (const [key, value] of pairs) {
    const ino = numberOfKey(key);
    out.set(ino, [...(out.get(ino) ?? []), decode(key, value)]);
  }
  return out;
}

/** The rows say what the oracle says. */
export function checkAgainstOracle(store: MemoryKvStore, oracle: Oracle): void {
  const inodes = new Map(
    table(store, TABLE.inode)
      .map(([, value]) => ATTR.decode(value))
      .map((a) => [a.ino, a]),
  );
  const entries = group(table(store, TABLE.dentry), (key, value) => ({
    name: text(nameOfKey(key)),
    ...DENTRY.decode(value),
  }));
  const xattrs = group(table(store, TABLE.xattr), (key, value) => [
    text(nameOfKey(key)),
    text(XATTR.decode(value).value),
  ]);
  const chunks = group(table(store, TABLE.chunk), (_, value) => CHUNK.decode(value));
  const nodes = oracle.nodes();
  assert.deepEqual(
    [...inodes.keys()],
    nodes.map((n) => n.ino).sort((a, b) => a - b),
  );
  for (const n of nodes) {
    const attr = inodes.get(n.ino)!;
    checkAttr(oracle, n, attr);
    const listing = (entries.get(n.ino) ?? []).map((entry) => `${entry.name} ${entry.ino}`);
    assert.deepEqual(listing, [...n.entries].map(([name, child]) => `${name} ${child.ino}`).sort());
    for (const entry of entries.get(n.ino) ?? []) {
      assert.equal(entry.type, inodes.get(entry.ino)!.mode & 0o170000);
    }
    assert.deepEqual(Object.fromEntries(xattrs.get(n.ino) ?? []), Object.fromEntries(n.xattrs));
    assert.equal(attr.hasXattrs, n.xattrs.size > 0);
    const content = (chunks.get(n.ino) ?? []).flatMap((chunk) =>
      chunk.extents.flatMap((extent) => tagsOf(extent).map((tag, i) => [extent.offset + i, tag])),
    );
    assert.deepEqual(
      content,
      [...n.content].sort(([a], [b]) => a - b),
    );
    assert.equal(attr.allocatedBytes, n.content.size);
  }
  const orphans = table(store, TABLE.orphan).map(([key]) => numberOfKey(key));
  assert.deepEqual(
    orphans,
    [...oracle.orphans.keys()].sort((a, b) => a - b),
  );
}

function checkAttr(oracle: Oracle, n: OracleNode, attr: Attr): void {
  const type = { file: 0o100000, dir: 0o040000, symlink: 0o120000 }[n.kind];
  assert.equal(attr.mode, type | n.mode);
  assert.equal(attr.nlink, oracle.nlink(n), `links of ${n.ino}`);
  if (n.kind === 'dir') assert.equal(attr.size, n.entries.size);
  if (n.kind === 'file') assert.equal(attr.size, n.size);
  if (n.kind === 'dir' && !oracle.orphans.has(n.ino)) assert.equal(attr.parent, oracle.parentOf(n));
}

/** What follows from other rows is what those rows say: reference counts, counters, indexes. */
export function checkDerivedRows(store: MemoryKvStore): void {
  const counted = new Map<string, number>();
  let allocated = 0;
  const pages = new Set<string>();
  const roots = new Set<string>();
  for (const [key, value] of table(store, TABLE.chunk)) {
    const { extents, ino, index } = CHUNK.decode(value);
    assert.deepEqual([ino, index], [numberOfKey(key), chunkIndexOfKey(key)]);
    assert.ok(extents.length > 0, 'an empty chunk has no row');
    for (const extent of extents) {
      allocated += extent.length;
      assert.equal(Math.floor(extent.offset / 2 ** 26), index);
      assert.equal(Math.floor((extent.offset + extent.length - 1) / 2 ** 26), index);
      const id = toHex(extent.blockId);
      if (id !== '') counted.set(id, (counted.get(id) ?? 0) + 1);
    }
    if (index === 0) continue;
    const page = Math.floor(index / 1024);
    pages.add(toHex(chunkPageKey(ino, page)));
    const bits = store.getSync(chunkPageKey(ino, page));
    assert.ok(bits && hasBit(BITMAP.decode(bits).bits, index % 1024), 'a chunk is in its page');
    if (page === 0) continue;
    roots.add(toHex(chunkPagesKey(ino)));
    const rootBits = store.getSync(chunkPagesKey(ino));
    assert.ok(rootBits && hasBit(BITMAP.decode(rootBits).bits, page), 'a page is in the root');
  }
  assert.deepEqual(new Set(table(store, TABLE.chunkPage).map(([key]) => toHex(key))), pages);
  assert.deepEqual(new Set(table(store, TABLE.chunkPages).map(([key]) => toHex(key))), roots);

  const live = new Map<string, number>();
  const condemned = new Set<string>();
  for (const [key, value] of table(store, TABLE.block)) {
    const row = BLOCK.decode(value);
    assert.equal(row.refs === 0, row.condemnedAt !== 0);
    if (row.refs > 0) live.set(toHex(blockIdOfKey(key)), row.refs);
    else condemned.add(toHex(condemnedKey(row.condemnedAt, blockIdOfKey(key))));
  }
  assert.deepEqual(live, new Map([...counted].sort()));
  assert.deepEqual(new Set(table(store, TABLE.condemned).map(([key]) => toHex(key))), condemned);

  const counters = COUNTERS.decode(store.getSync(Uint8Array.of(TABLE.counters))!);
  assert.equal(counters.inodes, table(store, TABLE.inode).length);
  assert.equal(counters.allocatedBytes, allocated);
}

/** Nothing but the root directory is left. */
export function checkOnlyRoot(store: MemoryKvStore): void {
  const { dentry, xattr, xattrNames, chunk, chunkPage, chunkPages, orphan } = TABLE;
  for (const number of [dentry, xattr, xattrNames, chunk, chunkPage, chunkPages, orphan]) {
    assert.equal(table(store, number).length, 0, `table ${number}`);
  }
  assert.equal(table(store, TABLE.inode).length, 1);
  assert.ok(table(store, TABLE.block).every(([, value]) => BLOCK.decode(value).refs === 0));
}
