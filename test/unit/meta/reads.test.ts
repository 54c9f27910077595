import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from '../../../src/base/errno.ts';
import { CHUNK_SIZE_BYTES, LEASE_MARGIN_MS, LEASE_TTL_MS } from '../../../src/base/limits.ts';
import { isSettled, leaderFixture, turn } from '../../support/meta-server-fixture.ts';
import {
  blockId,
  bytes,
  inline,
  mkdir,
  mkfile,
  setAttr,
  setXattr,
  text,
  write,
} from '../../support/namespace-ops.ts';
import { inoOf, type StubMetaClient } from '../../support/stub-meta-client.ts';

const ROOT = 1;

const getAttr = (client: StubMetaClient, ino: number) =>
  client.ask({ $case: 'getAttr', value: { ino } }, 'getAttr');
const lookup = (client: StubMetaClient, name: string, parent = ROOT) =>
  client.ask({ $case: 'lookup', value: { parent, name: bytes(name) } }, 'lookup');

async function setUp() {
  const fixture = await leaderFixture();
  const a = await fixture.client();
  const b = await fixture.client();
  return { fixture, replica: fixture.replica, timers: fixture.timers, a, b };
}

describe('reads', () => {
  it('lookup gives the inode and its directory, both leased', async () => {
    const { a, b } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const found = await lookup(b, 'f');
    assert.equal(found.found, true);
    assert.equal(found.attr?.ino, ino);
    assert.equal(found.parentAttr?.ino, ROOT);
    assert.equal(found.leased, true);
    await a.commit([setAttr(ino, { mode: 0o600 })]);
    await a.commit([setAttr(ROOT, { mode: 0o700 })]);
    assert.deepEqual(
      b.recalls.map((r) => r.inodes.map((i) => i.ino)),
      [[ino], [ROOT]],
    );
  });

  it('readdir lists in byte order, by pages, and leases every inode with attributes', async () => {
    const { a, b } = await setUp();
    const inos = [];
    for (const name of ['b', 'a', 'c']) inos.push(inoOf(await a.commit([mkfile(ROOT, name)])));
    const request = { ino: ROOT, after: bytes(''), limit: 2, withAttrs: true };
    const page = await b.ask({ $case: 'readDir', value: request }, 'readDir');
    assert.deepEqual(
      page.entries.map((e) => text(e.name)),
      ['a', 'b'],
    );
    assert.equal(page.end, false);
    assert.equal(page.leased, true);
    const rest = await b.ask(
      { $case: 'readDir', value: { ino: ROOT, after: bytes('b'), limit: 0, withAttrs: false } },
      'readDir',
    );
    assert.deepEqual(
      rest.entries.map((e) => text(e.name)),
      ['c'],
    );
    assert.equal(rest.end, true);
    await a.commit(inos.map((ino) => setAttr(ino, { mode: 0o600 })));
    // 'c' was listed without attributes: nothing of its inode is cached.
    assert.deepEqual(
      b.recalls
        .at(-1)
        ?.inodes.map((i) => i.ino)
        .sort(),
      [inos[0], inos[1]].sort(),
    );
  });

  it('gives chunks, extended attributes and known blocks', async () => {
    const { a } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    await a.commit([write(ino, [inline(0, 'data'), inline(2 * CHUNK_SIZE_BYTES, 'x')])]);
    await a.commit([setXattr(ino, 'user.k', bytes('v'))]);
    const chunks = await a.ask({ $case: 'getChunks', value: { ino, first: 0, count: 4 } }, 'getChunks');
    assert.deepEqual(
      chunks.chunks.map((c) => c.index),
      [0, 2],
    );
    assert.equal(chunks.leased, true);
    const next = { ino, first: 1, count: 1, skipAbsent: true };
    const existing = await a.ask({ $case: 'getChunks', value: next }, 'getChunks');
    assert.deepEqual([existing.chunks.map((c) => c.index), existing.leased], [[2], true]);
    const value = await a.ask({ $case: 'getXattr', value: { ino, name: bytes('user.k') } }, 'getXattr');
    assert.equal(text(value.value), 'v');
    const names = await a.ask({ $case: 'listXattr', value: { ino } }, 'listXattr');
    assert.deepEqual(names.names.map(text), ['user.k']);
    const known = await a.ask({ $case: 'knownBlocks', value: { blockIds: [blockId(1)] } }, 'knownBlocks');
    assert.deepEqual(known.known, [false]);
    const none = await a.ask({ $case: 'getXattr', value: { ino, name: bytes('user.n') } }, 'error');
    assert.equal(none.errno, ERRNO.ENODATA);
  });

  it('a missing inode is ESTALE, a file is no directory', async () => {
    const { a } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const cases = [
      [{ $case: 'getAttr', value: { ino: 999 } }, ERRNO.ESTALE],
      [{ $case: 'lookup', value: { parent: 999, name: bytes('x') } }, ERRNO.ESTALE],
      [{ $case: 'lookup', value: { parent: ino, name: bytes('x') } }, ERRNO.ENOTDIR],
      [{ $case: 'getChunks', value: { ino: 999, first: 0, count: 1 } }, ERRNO.ESTALE],
      [{ $case: 'listXattr', value: { ino: 999 } }, ERRNO.ESTALE],
    ] as const;
    for (const [request, errno] of cases) {
      assert.equal((await a.ask(request, 'error')).errno, errno, request.$case);
    }
  });

  it('a change between registration and reading is seen, not missed', async () => {
    const { a, b, replica } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    let committed: Promise<unknown> | undefined;
    replica.barrier = async () => {
      replica.barrier = undefined;
      committed = a.commit([setAttr(ino, { mode: 0o600 })]);
      await turn();
    };
    const reply = await getAttr(b, ino);
    await committed;
    assert.equal((reply.attr?.mode ?? 0) & 0o777, 0o600);
    assert.equal(reply.leased, true);
    await a.commit([setAttr(ino, { mode: 0o640 })]);
    assert.ok(
      b.recalls.some((r) => r.inodes.some((i) => i.ino === ino && i.version > (reply.attr?.version ?? 0))),
    );
  });

  it('a change while rows are being read makes it read again', async () => {
    const { a, b, replica } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const get = replica.state.get.bind(replica.state);
    let changes = 0;
    replica.state.get = async (key) => {
      const value = await get(key);
      if (changes++ === 0) await a.commit([setAttr(ino, { mode: 0o600 })]);
      return value;
    };
    const reply = await getAttr(b, ino);
    assert.equal((reply.attr?.mode ?? 0) & 0o777, 0o600);
    assert.equal(reply.leased, true);
  });

  it('without quiet it answers without a lease', async () => {
    const { a, b, replica } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const get = replica.state.get.bind(replica.state);
    let changes = 0;
    replica.state.get = async (key) => {
      const value = await get(key);
      if (changes++ < 10) await a.commit([setAttr(ino, { mode: 0o600 + (changes % 8) })]);
      return value;
    };
    assert.equal((await getAttr(b, ino)).leased, false);
  });

  it('an inode that turns up during the read is read again when anything changed before it was leased', async () => {
    const { a, b, replica } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const get = replica.state.get.bind(replica.state);
    let gets = 0;
    replica.state.get = async (key) => {
      const value = await get(key);
      // The third row is the child's inode; only then is it known to be needed.
      if (++gets === 3) await a.commit([setAttr(ino, { mode: 0o600 })]);
      return value;
    };
    const reply = await lookup(b, 'f');
    assert.equal((reply.attr?.mode ?? 0) & 0o777, 0o600);
    assert.equal(reply.leased, true);
  });

  it('a recall that overtakes a reply takes its lease away', async () => {
    const { a, b } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    // The stub takes a reply as late as a transport may; every interleaving of the two is tried.
    for (let delay = 0; delay < 30; delay++) {
      const from = b.log.length;
      const read = getAttr(b, ino);
      for (let i = 0; i < delay; i++) await Promise.resolve();
      const commit = a.commit([setAttr(ino, { mode: 0o600 + (delay % 8) })]);
      await Promise.all([read, commit]);
      const log = b.log.slice(from);
      const reply = log.findIndex(({ body }) => body.$case === 'getAttr');
      const body = log[reply]!.body;
      assert.ok(body.$case === 'getAttr');
      const index = (await commit).index;
      const current = body.value.attr?.version === index;
      const recalledLater = log.slice(reply).some(({ body: b }) => b.$case === 'recall');
      assert.ok(
        !body.value.leased || current || recalledLater,
        `delay ${delay}: a stale answer stays leased`,
      );
    }
  });

  it('an answer that tells of a commit waits like the commit for a third client', async () => {
    const { a, b, fixture } = await setUp();
    const c = await fixture.client();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    await getAttr(c, ino);
    c.autoAck = false;
    const commit = a.commit([setAttr(ino, { mode: 0o600 })]);
    await turn();
    const read = getAttr(b, ino);
    const ownRead = getAttr(c, ino);
    assert.equal(await isSettled(read), false);
    assert.equal(
      await isSettled(ownRead),
      true,
      'the client that has to acknowledge does not wait for itself',
    );
    c.ack(c.recalls[0]!);
    await Promise.all([read, commit]);
  });

  it('leases nothing without a lease of the session', async () => {
    const { a, fixture, timers } = await setUp();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
    const c = await fixture.client(false);
    assert.equal((await getAttr(c, ino)).leased, false);
    await c.ping();
    assert.equal((await getAttr(c, ino)).leased, true);
    await timers.advance(LEASE_TTL_MS + LEASE_MARGIN_MS);
    assert.equal((await getAttr(c, ino)).leased, false);
  });

  it('grants no lease without a quorum', async () => {
    const { a, replica } = await setUp();
    assert.equal(await a.ping(), true);
    replica.leaseOk = false;
    assert.equal(await a.ping(), false);
  });

  it('refuses more chunks than an answer holds', async () => {
    const { a } = await setUp();
    const request = { ino: ROOT, first: 0, count: 1_000_000 };
    assert.equal((await a.ask({ $case: 'getChunks', value: request }, 'error')).errno, ERRNO.EINVAL);
  });

  it('recalls the oldest leases of a client that has too many', async () => {
    const fixture = await leaderFixture({ leasesPerSessionMax: 4 });
    const a = await fixture.client();
    const b = await fixture.client();
    const inos = [];
    for (let i = 0; i < 5; i++) inos.push(inoOf(await a.commit([mkdir(ROOT, `d${i}`)])));
    const before = b.recalls.length;
    for (const ino of inos) assert.equal((await getAttr(b, ino)).leased, true);
    const evicted = b.recalls.slice(before).flatMap((r) => r.inodes);
    assert.deepEqual(
      evicted.map((i) => i.ino),
      inos.slice(0, 2),
    );
    assert.ok(evicted.every((i) => i.version === 0 && !i.dataChanged && !i.removed));
    // Until it says that it has dropped them, a change waits for it.
    b.autoAck = false;
    for (const ino of inos.slice(0, 2)) await getAttr(b, ino);
    const last = b.recalls.at(-1)!;
    assert.deepEqual(
      last.inodes.map((i) => i.ino),
      inos.slice(2, 4),
    );
    const commit = a.commit([setAttr(inos[2]!, { mode: 0o700 })]);
    assert.equal(await isSettled(commit), false);
    b.ack(last);
    await commit;
  });
});
