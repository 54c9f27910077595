import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import type { MetaClient } from '../../../src/client/meta-client.ts';
import type { Extent } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { InodeChange } from '../../../src/ports/meta-service.ts';
import { MetaCluster } from '../../support/meta-cluster.ts';
import {
  bytes,
  mkdir,
  mkfile,
  rename,
  rmdir,
  setAttr,
  text,
  truncate,
  unlink,
  write,
} from '../../support/namespace-ops.ts';

const isError = (code: string) => (e: unknown) => (e as { code?: string }).code === code;
const EMPTY = new Uint8Array(0);
const inline = (content: string): Extent => ({
  offset: 0,
  length: content.length,
  blockId: EMPTY,
  blockOffset: 0,
  blockLength: 0,
  inline: bytes(content),
});

async function names(cluster: MetaCluster, client: MetaClient, ino: number): Promise<string[]> {
  const page = await cluster.timers.resolve(client.readdir(ino as Ino, EMPTY, 1000, true));
  return page.entries.map((e) => text(e.name));
}

async function make(cluster: MetaCluster, client: MetaClient, op = mkfile(ROOT_INO, 'f')): Promise<Ino> {
  const ok = await cluster.timers.resolve(client.commit([op]));
  return ok.results[0]!.ino as Ino;
}

describe('one client and the real meta server', () => {
  it('answers from the cache what it wrote itself', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const client = await cluster.leased('a');
    const dir = await make(cluster, client, mkdir(ROOT_INO, 'd'));
    const requests = client.stats().requests;
    const file = await make(cluster, client, mkfile(dir, 'f'));
    assert.equal((await timers.resolve(client.lookup(dir, bytes('f'))))?.ino, file);
    assert.equal(await timers.resolve(client.lookup(dir, bytes('absent'))), undefined);
    assert.deepEqual(await names(cluster, client, dir), ['f']);
    await timers.resolve(client.commit([write(file, [inline('hello')])]));
    const { chunks, attr } = await timers.resolve(client.getChunks(file, 0, 1));
    assert.equal(attr.size, 5);
    assert.equal(text(chunks[0]!.extents[0]!.inline), 'hello');
    await timers.resolve(client.commit([rename(dir, 'f', dir, 'g')]));
    assert.deepEqual(await names(cluster, client, dir), ['g']);
    assert.equal(await timers.resolve(client.lookup(dir, bytes('f'))), undefined);
    await timers.resolve(client.commit([unlink(dir, 'g')]));
    assert.deepEqual(await names(cluster, client, dir), []);
    assert.equal(client.stats().requests, requests, 'all of that without a read request');
    await cluster.timers.resolve(client.close());
  });

  it('knows a file that was made and written in one commit', async () => {
    const cluster = new MetaCluster();
    const client = await cluster.leased('a');
    const made = Number.MAX_SAFE_INTEGER; // what op 0 made
    const ops = [mkfile(ROOT_INO, 'f'), write(made, [inline('x')])];
    const ok = await cluster.timers.resolve(client.commit(ops));
    const requests = client.stats().requests;
    const { chunks, attr } = await cluster.timers.resolve(client.getChunks(ok.results[0]!.ino as Ino, 0, 1));
    assert.equal(client.stats().requests, requests);
    assert.equal(attr.size, 1);
    assert.equal(chunks[0]?.version, ok.index);
    const fresh = await cluster.leased('b');
    const told = await cluster.timers.resolve(fresh.getChunks(ok.results[0]!.ino as Ino, 0, 1));
    assert.deepEqual(told.chunks, chunks);
    await cluster.timers.resolve(client.close());
    await cluster.timers.resolve(fresh.close());
  });

  it('caches a listing that took several pages', async () => {
    const cluster = new MetaCluster();
    const client = await cluster.leased('a');
    const dir = await make(cluster, client, mkdir(ROOT_INO, 'd'));
    const wanted = Array.from({ length: 10 }, (_, i) => `n${i}`);
    for (const name of wanted) await make(cluster, client, mkfile(dir, name));
    const other = await cluster.leased('b');
    const found: string[] = [];
    for (let after: Uint8Array = EMPTY, end = false; !end; ) {
      const page = await cluster.timers.resolve(other.readdir(dir, after, 3, true));
      found.push(...page.entries.map((e) => text(e.name)));
      after = page.entries.at(-1)!.name;
      end = page.end;
    }
    assert.deepEqual(found, wanted);
    const requests = other.stats().requests;
    assert.deepEqual(await names(cluster, other, dir), wanted);
    assert.equal(await cluster.timers.resolve(other.lookup(dir, bytes('no'))), undefined);
    assert.equal(other.stats().requests, requests);
    await cluster.timers.resolve(client.close());
    await cluster.timers.resolve(other.close());
  });

  it('passes errors on', async () => {
    const cluster = new MetaCluster();
    const client = await cluster.leased('a');
    await make(cluster, client);
    const { timers } = cluster;
    await assert.rejects(timers.resolve(client.commit([mkfile(ROOT_INO, 'f')])), isError('EEXIST'));
    await assert.rejects(timers.resolve(client.commit([rmdir(ROOT_INO, 'f')])), isError('ENOTDIR'));
    await assert.rejects(timers.resolve(client.getattr(4711 as Ino)), isError('ESTALE'));
    await cluster.timers.resolve(client.close());
  });
});

describe('two clients', () => {
  it('see at once what the other did', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const a = await cluster.leased('a');
    const b = await cluster.leased('b');
    const changes: (readonly InodeChange[] | undefined)[] = [];
    b.onChange((change) => changes.push(change));
    const file = await make(cluster, a);
    assert.equal((await timers.resolve(b.lookup(ROOT_INO, bytes('f'))))?.ino, file);
    assert.deepEqual(await names(cluster, b, ROOT_INO), ['f']);
    await timers.resolve(a.commit([write(file, [inline('new')])]));
    assert.deepEqual(
      changes.map((c) => c?.map((i) => i.ino)),
      [[file]],
    );
    const { chunks } = await timers.resolve(b.getChunks(file, 0, 1));
    assert.equal(text(chunks[0]!.extents[0]!.inline), 'new');
    await timers.resolve(a.commit([unlink(ROOT_INO, 'f')]));
    assert.equal(await timers.resolve(b.lookup(ROOT_INO, bytes('f'))), undefined);
    await cluster.timers.resolve(a.close());
    await cluster.timers.resolve(b.close());
  });

  it('wait no longer than the lease for one that cannot be reached, and it does not use its cache then', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const a = await cluster.leased('a');
    const b = await cluster.leased('b');
    const file = await make(cluster, a);
    await timers.resolve(b.getattr(file));
    cluster.network.partition(
      ['b'],
      cluster.members.map((m) => m.address),
    );
    const started = timers.nowMs();
    await timers.resolve(a.commit([setAttr(file, { mode: 0o600 })]));
    assert.ok(timers.nowMs() - started < 1_500, `${timers.nowMs() - started} ms`);
    assert.equal(b.stats().leaseHeld, false);
    const read = b.getattr(file);
    await timers.advance(100);
    cluster.network.heal();
    assert.equal((await timers.resolve(read)).mode & 0o777, 0o600);
    await cluster.timers.resolve(a.close());
    await cluster.timers.resolve(b.close());
  });
});

describe('failover', () => {
  it('applies a commit once when the leader dies between applying and answering', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const client = await cluster.leased('a');
    const file = await make(cluster, client);
    cluster.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit');
    const index = cluster.machine.index;
    const commit = client.commit([rename(ROOT_INO, 'f', ROOT_INO, 'g')]);
    await timers.until(() => cluster.machine.index > index, 100, 'applied');
    cluster.kill(0);
    cluster.network.onDeliver = undefined;
    await timers.advance(700);
    cluster.elect(1);
    const elected = timers.nowMs();
    const ok = await timers.resolve(commit);
    assert.equal(ok.index, index + 1, 'the answer of the first application');
    assert.ok(timers.nowMs() - elected < 200, `${timers.nowMs() - elected} ms`);
    assert.equal((await timers.resolve(client.lookup(ROOT_INO, bytes('g'))))?.ino, file);
    assert.equal(await timers.resolve(client.lookup(ROOT_INO, bytes('f'))), undefined);
    await cluster.timers.resolve(client.close());
  });

  it('applies a commit once that was lost before it was applied', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const client = await cluster.leased('a');
    cluster.member(0).replica.hold();
    const commit = client.commit([mkfile(ROOT_INO, 'f')]);
    await timers.until(() => cluster.member(0).replica.held === 1, 100, 'proposed');
    cluster.elect(2);
    await timers.resolve(commit);
    assert.deepEqual(await names(cluster, client, ROOT_INO), ['f']);
    await cluster.timers.resolve(client.close());
  });

  it('does not take an old answer for news', async () => {
    // b changes the file between the first application of a's commit and the answer to its retry.
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const a = await cluster.leased('a');
    const b = await cluster.leased('b');
    const file = await make(cluster, a);
    cluster.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit' && m.to === 'a');
    const index = cluster.machine.index;
    const slow = a.commit([write(file, [inline('aa')])]);
    await timers.until(() => cluster.machine.index > index, 100, 'applied');
    await timers.resolve(b.commit([truncate(file, 0)]));
    cluster.network.onDeliver = undefined;
    cluster.elect(1);
    await timers.resolve(slow);
    await timers.until(() => a.stats().leaseHeld, 2_000, 'lease');
    assert.equal((await timers.resolve(a.getattr(file))).size, 0);
    assert.deepEqual((await timers.resolve(a.getChunks(file, 0, 1))).chunks, []);
    await cluster.timers.resolve(a.close());
    await cluster.timers.resolve(b.close());
  });

  it('keeps all commits of a busy client over many leaders', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const client = await cluster.leased('a');
    const made: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) {
      made.push(client.commit([mkfile(ROOT_INO, `f${i}`)]));
      if (i % 20 === 10) {
        await timers.advance(3);
        cluster.elect(i % 3);
        await timers.advance(30);
      }
    }
    await timers.resolve(Promise.all(made));
    assert.equal((await names(cluster, client, ROOT_INO)).length, 200);
    await cluster.timers.resolve(client.close());
  });

  it('signs off when it is closed, so that nothing waits for its session', async () => {
    const cluster = new MetaCluster();
    const { timers } = cluster;
    const client = await cluster.leased('a');
    const other = await cluster.leased('b');
    const goodbyes = cluster.count('goodbye');
    const startMs = timers.nowMs();
    await timers.resolve(client.close());
    assert.ok(timers.nowMs() - startMs < 100);
    assert.equal(goodbyes(), 1);
    assert.equal(cluster.member(0).server.stats().sessions, 1);
    await timers.resolve(other.close());
    assert.equal(cluster.member(0).server.stats().sessions, 0);
  });
});
