import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ORPHAN_QUERY_TIMEOUT_MS,
  ORPHAN_RETRY_MS_MAX,
  ORPHAN_ROUND_INTERVAL_MS,
  SESSION_SWEEP_INTERVAL_MS,
  SESSION_TTL_MS,
} from '../../../src/base/limits.ts';
import { listOrphans } from '../../../src/core/namespace/read.ts';
import { OrphanQueue } from '../../../src/meta/orphan-queue.ts';
import { leaderFixture, type MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { inline, mkfile, unlink, write } from '../../support/namespace-ops.ts';
import { inoOf, type StubMetaClient } from '../../support/stub-meta-client.ts';

const ROOT = 1;
const CHUNK = 64 * 1024 * 1024;

const orphans = async (fixture: MetaServerFixture): Promise<number[]> =>
  (await listOrphans(fixture.replica.state, 0, 100)).map((row) => row.ino);

async function unlinked(client: StubMetaClient, name: string): Promise<number> {
  const ino = inoOf(await client.commit([mkfile(ROOT, name)]));
  await client.commit([unlink(ROOT, name)]);
  return ino;
}

const round = async (fixture: MetaServerFixture, rounds = 1): Promise<void> =>
  fixture.timers.advance(rounds * ORPHAN_ROUND_INTERVAL_MS);

describe('unlinked inodes', () => {
  it('are deleted when nobody has them open', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const b = await fixture.client();
    const ino = await unlinked(a, 'f');
    assert.deepEqual(await orphans(fixture), [ino]);
    await round(fixture);
    assert.deepEqual([a.queries, b.queries], [[[ino]], [[ino]]]);
    assert.deepEqual(await orphans(fixture), []);
    assert.equal(fixture.server.stats().orphansReaped, 1);
    assert.equal(fixture.server.stats().leases, 1, 'of the directory; that of the file is gone with it');
    assert.equal((await a.ask({ $case: 'getAttr', value: { ino } }, 'error')).errno, 116);
    await round(fixture, 4);
    assert.equal(a.queries.length, 1, 'nothing is left to ask about');
  });

  it('stay while another client has them open, and go when it has closed them', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const b = await fixture.client();
    const held = await unlinked(a, 'held');
    const free = await unlinked(a, 'free');
    b.openInodes = new Set([held]);
    await round(fixture, 6);
    assert.deepEqual(await orphans(fixture), [held]);
    assert.ok(b.queries.length >= 2, 'it is asked about again');
    assert.ok(!b.queries.slice(1).flat().includes(free));
    b.openInodes.clear();
    await fixture.timers.advance(ORPHAN_RETRY_MS_MAX);
    assert.deepEqual(await orphans(fixture), []);
  });

  it('are asked about in one batch', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const inos = [];
    for (let i = 0; i < 50; i++) inos.push(await unlinked(a, `f${i}`));
    await round(fixture);
    assert.deepEqual(a.queries, [inos]);
    assert.deepEqual(await orphans(fixture), []);
  });

  it('with many chunks are deleted in bounded steps', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const ino = inoOf(await a.commit([mkfile(ROOT, 'big')]));
    const extents = Array.from({ length: 200 }, (_, i) => inline(i * CHUNK, 'x'));
    await a.commit([write(ino, extents)]);
    await a.commit([unlink(ROOT, 'big')]);
    const before = fixture.replica.proposed.length;
    await round(fixture);
    const reaps = fixture.replica.proposed.slice(before).map((command) => command.body);
    assert.deepEqual(
      reaps,
      Array.from({ length: 4 }, () => ({ $case: 'reapOrphan', value: { ino, chunksMax: 64 } })),
    );
    assert.deepEqual(await orphans(fixture), []);
  });

  it('wait for a session that is not connected, until it comes back', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const b = await fixture.client();
    const ino = await unlinked(a, 'f');
    b.break();
    await round(fixture, 3);
    assert.deepEqual(await orphans(fixture), [ino]);
    assert.equal(a.queries.length, 0);
    await fixture.stub().hello(b.session);
    await round(fixture);
    assert.deepEqual(await orphans(fixture), []);
  });

  it('wait for a session that is not connected, until it expires', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const b = await fixture.client();
    const ino = await unlinked(a, 'f');
    b.break();
    for (let ms = 0; ms < SESSION_TTL_MS - SESSION_SWEEP_INTERVAL_MS; ms += 1000) {
      await fixture.timers.advance(1000);
      await a.ping();
    }
    assert.deepEqual(await orphans(fixture), [ino]);
    await fixture.timers.advance(3 * SESSION_SWEEP_INTERVAL_MS);
    assert.deepEqual(await orphans(fixture), []);
  });

  it('stay when a client goes away while it is being asked, or does not answer', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const b = await fixture.client();
    b.openInodes = undefined;
    const ino = await unlinked(a, 'f');
    await round(fixture);
    assert.equal(b.queries.length, 1);
    await fixture.timers.advance(ORPHAN_QUERY_TIMEOUT_MS + ORPHAN_ROUND_INTERVAL_MS);
    assert.equal(b.queries.length, 2);
    b.break();
    await turn();
    await round(fixture, 2);
    assert.deepEqual(await orphans(fixture), [ino]);
  });

  it('are found by a new leader', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const ino = await unlinked(a, 'f');
    fixture.replica.becomeFollower();
    fixture.replica.becomeLeader();
    await turn();
    await round(fixture, 2);
    assert.deepEqual(await orphans(fixture), [ino], 'its session has not come back');
    const again = fixture.stub();
    await again.hello(a.session);
    again.openInodes = new Set([ino]);
    await round(fixture, 2);
    assert.deepEqual(await orphans(fixture), [ino]);
    again.openInodes.clear();
    await fixture.timers.advance(ORPHAN_RETRY_MS_MAX);
    assert.deepEqual(await orphans(fixture), []);
  });

  it('are tried again after a failure', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    const ino = await unlinked(a, 'f');
    fixture.replica.overloaded = true;
    await round(fixture);
    assert.deepEqual(await orphans(fixture), [ino]);
    fixture.replica.overloaded = false;
    await round(fixture);
    assert.deepEqual(await orphans(fixture), []);
    assert.deepEqual(
      fixture.logger.lines.filter((line) => line.level !== 'info'),
      [],
    );
  });

  it('are deleted when there is no session at all', async () => {
    const fixture = await leaderFixture();
    const a = await fixture.client();
    await unlinked(a, 'f');
    a.break();
    await fixture.timers.advance(SESSION_TTL_MS + 3 * SESSION_SWEEP_INTERVAL_MS);
    assert.deepEqual(await orphans(fixture), []);
  });
});

describe('OrphanQueue', () => {
  it('takes no more than its limit and says so', () => {
    const queue = new OrphanQueue(4);
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((ino) => queue.add(ino)),
      [true, true, true, true, false],
    );
    assert.equal(queue.add(4), true, 'known already');
    assert.equal(queue.hasRoom, false);
    for (const ino of queue.due(0, 2)) queue.done(ino);
    assert.equal(queue.hasRoom, true);
    assert.deepEqual(queue.due(0, 10), [3, 4]);
  });

  it('asks about a held inode after pauses that double up to a limit', () => {
    const queue = new OrphanQueue();
    queue.add(1);
    const pauses: number[] = [];
    for (let now = 0; pauses.length < 8; now++) {
      if (queue.due(now, 1).length === 0) continue;
      pauses.push(now);
      queue.retryLater(1, now);
    }
    const gaps = pauses.slice(1).map((at, i) => at - pauses[i]!);
    assert.deepEqual(gaps, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
  });
});
