import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaCache } from '../../../src/client/meta-cache.ts';
import type { Attr, CommitOk, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { fakeAttr } from '../../support/fake-meta.ts';
import { bytes, mkfile, rename, setAttr, unlink, write } from '../../support/namespace-ops.ts';

const DIR = 1;
const FILE = 7;
const EMPTY = new Uint8Array(0);
const dir = (dataVersion: number): Attr =>
  fakeAttr(DIR, { mode: 0o40755, version: dataVersion, dataVersion });
const file = (version: number, dataVersion = version): Attr => fakeAttr(FILE, { version, dataVersion });

/** A cache that knows directory 1 at data version 10, complete, with `f` -> 7. */
function known(options = {}): MetaCache {
  const cache = new MetaCache(() => true, options);
  const entries = [{ name: bytes('f'), ino: FILE, type: 0o100000, attr: file(5) }];
  cache.putPage(cache.token(), DIR, EMPTY, { entries, end: true, attr: dir(10), leased: true });
  return cache;
}

function ok(touched: [Attr, number][], ino = 0): CommitOk {
  return {
    results: [{ ino, offset: 0 }],
    touched: touched.map(([attr, previous]) => ({
      attr,
      previousVersion: previous,
      previousDataVersion: previous,
      removed: false,
    })),
  };
}

const names = (cache: MetaCache): string[] | undefined =>
  cache.page(DIR, EMPTY, 100, false)?.entries.map((e) => Buffer.from(e.name).toString());

describe('the cache of leased metadata', () => {
  it('keeps no reply that was asked for in an earlier lease', () => {
    const cache = known();
    const token = cache.token();
    cache.reset();
    cache.putAttr(token, { attr: file(5), leased: true });
    assert.equal(cache.attr(FILE), undefined);
  });

  it('keeps no reply without a lease', () => {
    const cache = new MetaCache(() => true);
    cache.putAttr(cache.token(), { attr: file(5), leased: false });
    assert.equal(cache.attr(FILE), undefined);
  });

  it('never replaces a newer version by an older one', () => {
    const cache = known();
    cache.putAttr(cache.token(), { attr: file(9), leased: true });
    cache.putAttr(cache.token(), { attr: file(8), leased: true });
    assert.equal(cache.attr(FILE)?.version, 9);
  });

  it('follows own commits from version to version', () => {
    const cache = known();
    cache.committed(undefined, [mkfile(DIR, 'g')], ok([[dir(11), 10]], 8), 11);
    assert.deepEqual(names(cache), ['f', 'g']);
    cache.committed(undefined, [unlink(DIR, 'f')], ok([[dir(12), 11]], FILE), 12);
    assert.deepEqual(names(cache), ['g']);
    assert.equal(cache.lookup(DIR, bytes('f')), null);
    cache.committed(undefined, [rename(DIR, 'g', DIR, 'h')], ok([[dir(13), 12]], 8), 13);
    assert.deepEqual(names(cache), ['h']);
  });

  it('drops the entries of a directory when a version is missing', () => {
    const cache = known();
    cache.committed(undefined, [mkfile(DIR, 'g')], ok([[dir(12), 11]], 8), 12);
    assert.equal(names(cache), undefined);
    assert.equal(cache.lookup(DIR, bytes('g')), undefined);
  });

  it('ignores what it knows already', () => {
    const cache = known();
    cache.committed(undefined, [unlink(DIR, 'f')], ok([[dir(10), 9]], FILE), 10);
    assert.deepEqual(names(cache), ['f']);
  });

  it('adds inodes of a commit that was sent once, and not those of a late answer', () => {
    const cache = known();
    const made = fakeAttr(8, { version: 11, dataVersion: 11 });
    cache.committed(undefined, [setAttr(8, { mode: 0 })], ok([[made, 3]], 8), 11);
    assert.equal(cache.attr(8), undefined);
    cache.committed(cache.token(), [setAttr(8, { mode: 0 })], ok([[made, 3]], 8), 11);
    assert.equal(cache.attr(8)?.version, 11);
    const before = cache.token();
    cache.recall([{ ino: 8, version: 12, dataChanged: true, removed: false }]);
    cache.committed(before, [setAttr(8, { mode: 0 })], ok([[made, 3]], 8), 11);
    assert.equal(cache.attr(8), undefined);
  });

  it('does not answer for what a commit under way may change', () => {
    const cache = known();
    const done = cache.changing([unlink(DIR, 'f')]);
    assert.equal(cache.attr(FILE), undefined);
    assert.equal(cache.lookup(DIR, bytes('other')), undefined);
    assert.equal(names(cache), undefined);
    const again = cache.changing([unlink(DIR, 'f')]);
    done();
    assert.equal(cache.attr(FILE), undefined);
    again();
    assert.equal(cache.attr(FILE)?.version, 5);
    assert.deepEqual(names(cache), ['f']);
  });

  it('answers nothing while a commit under way may change who knows what', () => {
    const cache = known();
    cache.recall([{ ino: DIR, version: 0, dataChanged: false, removed: false }]);
    const done = cache.changing([unlink(DIR, 'f')]);
    assert.equal(cache.attr(FILE), undefined);
    done();
    assert.equal(cache.attr(FILE)?.version, 5);
  });

  it('knows the layout of a small file that it wrote whole, and of no other', () => {
    const cache = known();
    const extent = {
      offset: 0,
      length: 2,
      blockId: EMPTY,
      blockOffset: 0,
      blockLength: 0,
      inline: bytes('hi'),
    };
    const commit = (op: Op, from: number, to: number): void =>
      cache.committed(undefined, [op], ok([[file(to), from]], FILE), to);
    commit(write(FILE, [extent]), 5, 11);
    assert.equal(cache.layout(FILE, 0, 1), undefined, 'what was there before is not known');
    commit(setAttr(FILE, { size: 0 }), 11, 12);
    cache.putLayout(cache.token(), FILE, 0, 1, { chunks: [], attr: file(12), leased: true });
    assert.deepEqual(cache.layout(FILE, 0, 1)?.chunks, []);
    assert.equal(cache.layout(FILE, 1, 1), undefined);
    commit(setAttr(FILE, { size: 0 }), 12, 13);
    assert.deepEqual(cache.layout(FILE, 5, 1)?.chunks, [], 'all of it is gone');
    commit(write(FILE, [extent]), 13, 14);
    assert.deepEqual(cache.layout(FILE, 0, 2)?.chunks, [
      { ino: FILE, index: 0, version: 14, extents: [extent] },
    ]);
    commit(write(FILE, [{ ...extent, offset: 2 }]), 14, 15);
    assert.equal(cache.layout(FILE, 0, 1), undefined);
  });

  it('stays within its bounds', () => {
    const cache = new MetaCache(() => true, { attrsMax: 10, dentriesMax: 100, extentsMax: 50 });
    for (let i = 1; i <= 1_000; i++) {
      const attr = fakeAttr(i, { version: i, dataVersion: i });
      const name = bytes(`n${i}`);
      cache.putLookup(cache.token(), i % 50, name, {
        found: true,
        attr,
        parentAttr: fakeAttr(i % 50, { mode: 0o40755 }),
        leased: true,
      });
      cache.putLayout(cache.token(), i, 0, 4, { chunks: [], attr, leased: true });
    }
    assert.ok(cache.size.attrs <= 10);
    assert.ok(cache.size.dentries <= 100);
    assert.ok(cache.size.extents <= 50);
  });

  it('refuses old replies even when it has forgotten which inodes were recalled', () => {
    const cache = known();
    const token = cache.token();
    for (let ino = 100; ino < 20_100; ino++) {
      cache.recall([{ ino, version: 1, dataChanged: true, removed: false }]);
    }
    cache.putAttr(token, { attr: fakeAttr(100), leased: true });
    assert.equal(cache.attr(100), undefined);
    cache.putAttr(cache.token(), { attr: fakeAttr(100), leased: true });
    assert.equal(cache.attr(100)?.ino, 100);
  });
});
