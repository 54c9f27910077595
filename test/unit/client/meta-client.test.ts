import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defined } from '../../../src/base/assert.ts';
import { ERRNO } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import { CLIENT_GOODBYE_WAIT_MS, SESSION_WINDOW_MAX } from '../../../src/base/limits.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { MetaClient } from '../../../src/client/meta-client.ts';
import type { Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlocksMissing, type InodeChange, PreconditionFailed } from '../../../src/ports/meta-service.ts';
import { error, FakeMeta, fakeAttr, hang, type Reply } from '../../support/fake-meta.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const A = 'a:1';
const B = 'b:1';
const C = 'c:1';
const INO = 7 as Ino;
const unlink = (name: string): Op => ({
  body: { $case: 'unlink', value: { parent: 1, name: Buffer.from(name) } },
});

interface Rig {
  readonly timers: VirtualTimers;
  readonly meta: FakeMeta;
  readonly client: MetaClient;
  readonly logger: RecordingLogger;
  readonly changes: (readonly InodeChange[] | undefined)[];
}

async function rig(
  options: { addresses?: string[]; timeoutMs?: number; known?: string[] } = {},
): Promise<Rig> {
  const timers = new VirtualTimers();
  const addresses = options.addresses ?? [A, B, C];
  const meta = new FakeMeta(timers, addresses);
  meta.attrs.set(INO, fakeAttr(INO));
  const logger = new RecordingLogger();
  const client = new MetaClient(
    { connector: meta.network.connector('client'), timers, random: seededRandom(1), logger },
    {
      addresses: options.known ?? addresses,
      clientName: 'test',
      ...(options.timeoutMs === undefined ? {} : { operationTimeoutMs: options.timeoutMs }),
    },
  );
  clocks.set(client, timers);
  const changes: (readonly InodeChange[] | undefined)[] = [];
  client.onChange((change) => changes.push(change));
  await timers.until(() => client.stats().leaseHeld, 2_000, 'lease');
  return { timers, meta, client, logger, changes };
}

const clocks = new WeakMap<MetaClient, VirtualTimers>();

/** Closes a client of a rig: it waits for the answer to its farewell. */
async function close(client: MetaClient): Promise<void> {
  await defined(clocks.get(client), 'clock').resolve(client.close());
}

const isError = (code: string) => (e: unknown) => (e as { code?: string }).code === code;

describe('finding the leader', () => {
  it('follows a hint to a server that it was not told of', async () => {
    const { client, meta } = await rig({ known: [B] });
    assert.equal(client.stats().leader, A);
    assert.equal(meta.sessions.size, 1);
    await close(client);
  });

  it('keeps one stream, and the same session, when the leader changes', async () => {
    const { client, meta, timers } = await rig();
    const session = client.stats().session;
    meta.network.kill(A);
    meta.leader = B;
    await timers.until(() => client.stats().leader === B, 500, 'new leader');
    assert.equal(client.stats().session, session);
    await timers.advance(1_000);
    assert.equal(meta.streams.size, 1);
    await close(client);
  });

  it('finds a leader within 150 ms of its election', async () => {
    const { client, meta, timers } = await rig();
    meta.network.kill(A);
    meta.leader = undefined;
    await timers.advance(1_200);
    meta.leader = C;
    const elected = timers.nowMs();
    const attr = await timers.resolve(client.getattr(INO));
    assert.equal(attr.ino, INO);
    assert.ok(timers.nowMs() - elected <= 150, `took ${timers.nowMs() - elected} ms`);
    await close(client);
  });

  it('gives up a leader that answers no pings, and is not delayed by it in the search', async () => {
    const { client, meta, timers } = await rig();
    const stuck = A;
    meta.script = (_, address) => (address === stuck ? hang : undefined);
    meta.leader = B;
    const before = timers.nowMs();
    await timers.until(() => client.stats().leader === B, 5_000, 'new leader');
    assert.ok(timers.nowMs() - before < 1_600, `took ${timers.nowMs() - before} ms`);
    await close(client);
  });

  it('reconnects when a ping is answered by a server that leads no more', async () => {
    const { client, meta, timers } = await rig();
    meta.leader = C;
    await timers.until(() => client.stats().leader === C, 600, 'new leader');
    await close(client);
  });

  it('answers ETIMEDOUT when there is no leader, EINTR when aborted, and works afterwards', async () => {
    const { client, meta, timers } = await rig({ timeoutMs: 3_000 });
    meta.leader = undefined;
    meta.network.breakStreams(A);
    const started = timers.nowMs();
    await assert.rejects(timers.resolve(client.getattr(INO)), isError('ETIMEDOUT'));
    assert.equal(timers.nowMs() - started, 3_000);
    const abort = new AbortController();
    const waiting = client.getattr(INO, abort.signal);
    abort.abort();
    await assert.rejects(timers.resolve(waiting), isError('EINTR'));
    meta.leader = B;
    assert.equal((await timers.resolve(client.getattr(INO))).ino, INO);
    await close(client);
  });

  it('sticks to the cluster that it met first', async () => {
    const { client, meta, timers } = await rig();
    await timers.advance(10);
    meta.network.breakStreams(A);
    await timers.advance(200);
    const hellos = meta.seen('hello').map((h) => h.clusterId);
    assert.equal(hellos[0], '');
    assert.equal(hellos.at(-1), 'c1');
    await close(client);
  });
});

describe('reads', () => {
  it('are asked again after EAGAIN and after a lost leader, and pass other errors on', async () => {
    const { client, meta, timers } = await rig();
    let tries = 0;
    meta.script = (body) => (body.$case === 'getAttr' && ++tries < 3 ? error(ERRNO.EAGAIN) : undefined);
    assert.equal((await timers.resolve(client.getattr(INO))).ino, INO);
    assert.equal(tries, 3);
    await assert.rejects(timers.resolve(client.getattr(99 as Ino)), isError('ESTALE'));
    await close(client);
  });

  it('share one request, and are answered from the cache while leased', async () => {
    const { client, meta, timers } = await rig();
    const both = Promise.all([client.getattr(INO), client.getattr(INO)]);
    await timers.resolve(both);
    await timers.resolve(client.getattr(INO));
    assert.equal(meta.seen('getAttr').length, 1);
    assert.equal(client.stats().cacheHits, 1);
    await close(client);
  });

  it('do not share an answer that may be older than the question', async () => {
    const { client, meta, timers } = await rig();
    meta.leased = false;
    const first = client.getattr(INO);
    await timers.advance(1);
    meta.attrs.set(INO, fakeAttr(INO, { version: 2 }));
    const second = client.getattr(INO);
    await timers.resolve(first);
    assert.equal((await timers.resolve(second)).version, 2);
    assert.equal(meta.seen('getAttr').length, 2);
    await close(client);
  });

  it('know without asking that an inode has no extended attributes', async () => {
    const { client, meta, timers } = await rig();
    await timers.resolve(client.getattr(INO));
    await assert.rejects(client.getxattr(INO, Buffer.from('user.x')), isError('ENODATA'));
    assert.deepEqual(await client.listxattr(INO), []);
    assert.equal(meta.seen('getXattr').length, 0);
    await close(client);
  });
});

describe('the lease', () => {
  it('ends LEASE_TTL after the last answered ping was sent', async () => {
    const { client, meta, timers, changes } = await rig();
    await timers.resolve(client.getattr(INO));
    meta.leaseValid = false;
    const lastPing = timers.nowMs();
    changes.length = 0;
    await timers.until(() => changes.length > 0, 2_000, 'loss of the lease');
    assert.deepEqual(changes, [undefined]);
    assert.ok(timers.nowMs() - lastPing <= 800);
    assert.equal(client.stats().cachedAttrs, 0);
    await timers.resolve(client.getattr(INO));
    assert.equal(client.stats().cachedAttrs, 0, 'nothing is kept without a lease');
    meta.leaseValid = true;
    await timers.until(() => client.stats().leaseHeld, 1_000, 'lease');
    await timers.resolve(client.getattr(INO));
    assert.equal(client.stats().cachedAttrs, 1);
    await close(client);
  });

  it('is not trusted when the timer that should end it is late', async () => {
    const { client, timers } = await rig();
    await timers.resolve(client.getattr(INO));
    const now = timers.nowMs.bind(timers);
    timers.nowMs = () => now() + 5_000; // the process stood still
    assert.equal(client.stats().leaseHeld, false);
    assert.equal(client.stats().cachedAttrs, 0);
    timers.nowMs = now;
    await close(client);
  });

  it('ends with the connection', async () => {
    const { client, meta, timers, changes } = await rig();
    await timers.resolve(client.getattr(INO));
    changes.length = 0;
    meta.network.breakStreams(A);
    assert.deepEqual(changes, [undefined]);
    assert.equal(client.stats().cachedAttrs, 0);
    await timers.resolve(client.getattr(INO));
    await close(client);
  });
});

describe('recalls', () => {
  const recall = (ino: number, recallId = 5): Reply => ({
    $case: 'recall',
    value: { recallId, inodes: [{ ino, version: 9, dataChanged: true, removed: false }] },
  });

  it('drop the inode and tell listeners before they are acknowledged', async () => {
    const { client, meta, timers, changes } = await rig();
    await timers.resolve(client.getattr(INO));
    changes.length = 0;
    let ackedBeforeTold: number | undefined;
    client.onChange(() => {
      ackedBeforeTold = meta.seen('recallAck').length;
      assert.equal(client.stats().cachedAttrs, 0);
    });
    meta.push(recall(INO));
    await timers.until(() => meta.seen('recallAck').length === 1, 100, 'acknowledgement');
    assert.equal(ackedBeforeTold, 0);
    assert.equal(meta.seen('recallAck')[0]?.recallId, 5);
    assert.deepEqual(changes, [[{ ino: INO, version: 9, dataChanged: true, removed: false }]]);
    await close(client);
  });

  it('are acknowledged even when a listener fails', async () => {
    const { client, meta, timers, logger } = await rig();
    client.onChange(() => {
      throw new Error('listener');
    });
    meta.push(recall(INO));
    await timers.until(() => meta.seen('recallAck').length === 1, 100, 'acknowledgement');
    assert.ok(logger.lines.some((l) => l.level === 'error'));
    await close(client);
  });

  it('keep a reply from the cache that was asked for before them', async () => {
    const { client, meta, timers } = await rig();
    let answer: ((reply: Reply) => void) | undefined;
    meta.script = (body) =>
      body.$case === 'getAttr' ? new Promise<Reply>((resolve) => (answer = resolve)) : undefined;
    const read = client.getattr(INO);
    await timers.until(() => answer !== undefined, 100, 'request');
    meta.push(recall(INO));
    await timers.until(() => meta.seen('recallAck').length === 1, 100, 'acknowledgement');
    answer?.({ $case: 'getAttr', value: { attr: fakeAttr(INO), leased: true } });
    assert.equal((await timers.resolve(read)).version, 1);
    assert.equal(client.stats().cachedAttrs, 0);
    await close(client);
  });

  it('leave replies about other inodes alone', async () => {
    const { client, meta, timers } = await rig();
    const read = client.getattr(INO);
    meta.push(recall(8));
    await timers.resolve(read);
    assert.equal(client.stats().cachedAttrs, 1);
    await close(client);
  });

  it('open inodes are asked of the probe', async () => {
    const { client, meta, timers } = await rig();
    client.setOpenInodesProbe((inos) => inos.filter((i) => i === 8));
    meta.push({ $case: 'openInodesQuery', value: { queryId: 3, inos: [7, 8, 9] } });
    await timers.until(() => meta.seen('openInodesReply').length === 1, 100, 'answer');
    assert.deepEqual(meta.seen('openInodesReply')[0], { queryId: 3, open: [8] });
    await close(client);
  });
});

describe('commits', () => {
  it('are numbered in order and say which answers have arrived', async () => {
    const { client, meta, timers } = await rig();
    await timers.resolve(client.commit([unlink('a')]));
    await timers.resolve(Promise.all([client.commit([unlink('b')]), client.commit([unlink('c')])]));
    await timers.resolve(client.commit([unlink('d')]));
    assert.deepEqual(
      meta.applied.map((c) => [c.sequence, c.ackedBelow]),
      [
        [1, 1],
        [2, 2],
        [3, 2],
        [4, 4],
      ],
    );
    assert.equal(meta.applied[0]?.time?.sec, timers.wallTime().sec);
    await close(client);
  });

  it('take effect once when the leader dies between applying and answering', async () => {
    const { client, meta, timers } = await rig();
    meta.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit' && m.from === A);
    const commit = client.commit([unlink('a')]);
    await timers.until(() => meta.applied.length === 1, 100, 'applied');
    meta.network.kill(A);
    meta.leader = B;
    await timers.resolve(commit);
    assert.equal(meta.applied.length, 1);
    assert.deepEqual(
      meta.commits().map((c) => c.sequence),
      [1, 1],
    );
    assert.equal(client.stats().commitResends, 1);
    await close(client);
  });

  it('are sent again in order on the next connection', async () => {
    const { client, meta, timers } = await rig();
    meta.script = (body, address) => (body.$case === 'commit' && address === A ? hang : undefined);
    const all = Promise.all(['a', 'b', 'c', 'd'].map((n) => client.commit([unlink(n)])));
    await timers.until(() => meta.commits().length === 4, 100, 'sent');
    meta.network.kill(A);
    meta.leader = C;
    await timers.resolve(all);
    assert.deepEqual(
      meta.applied.map((c) => c.sequence),
      [1, 2, 3, 4],
    );
    await close(client);
  });

  it('stay within the session window', async () => {
    const { client, meta, timers } = await rig();
    let first: ((reply: Reply) => void) | undefined;
    meta.script = (body) => {
      if (body.$case !== 'commit' || first !== undefined) return undefined;
      return new Promise<Reply>((resolve) => (first = resolve));
    };
    const all = Promise.all(
      Array.from({ length: SESSION_WINDOW_MAX + 10 }, (_, i) => client.commit([unlink(`${i}`)])),
    );
    await timers.advance(100);
    assert.equal(meta.commits().length, SESSION_WINDOW_MAX);
    assert.ok(meta.commits().every((c) => c.sequence < c.ackedBelow + SESSION_WINDOW_MAX));
    first?.({ $case: 'commit', value: meta.apply(meta.commits()[0]!) });
    await timers.resolve(all);
    assert.equal(meta.applied.length, SESSION_WINDOW_MAX + 10);
    await close(client);
  });

  it('are retried under their sequence after EAGAIN', async () => {
    const { client, meta, timers } = await rig();
    let tries = 0;
    meta.script = (body) => (body.$case === 'commit' && ++tries < 4 ? error(ERRNO.EAGAIN) : undefined);
    await timers.resolve(client.commit([unlink('a')]));
    assert.deepEqual(
      meta.commits().map((c) => c.sequence),
      [1, 1, 1, 1],
    );
    await close(client);
  });

  it('report refusals and failed preconditions', async () => {
    const { client, meta, timers } = await rig();
    const current = [{ body: { $case: 'inode' as const, value: { ino: 7, version: 3 } } }];
    meta.result = (commit) => ({
      $case: 'rejected',
      value: { errno: commit.sequence === 1 ? ERRNO.ENOTEMPTY : 0, opIndex: 0, detail: '', current },
    });
    await assert.rejects(timers.resolve(client.commit([unlink('a')])), isError('ENOTEMPTY'));
    await assert.rejects(timers.resolve(client.commit([unlink('a')])), (e: unknown) => {
      assert.ok(e instanceof PreconditionFailed);
      assert.deepEqual(e.current, current);
      return true;
    });
    await close(client);
  });

  it('upload what is missing and commit again under a new sequence', async () => {
    const { client, meta, timers } = await rig();
    const x = new Uint8Array(32).fill(1);
    const y = new Uint8Array(32).fill(2);
    meta.result = (commit) =>
      commit.sequence === 1
        ? { $case: 'missingBlocks', value: { blockIds: [x] } }
        : { $case: 'ok', value: { results: [], touched: [] } };
    const uploaded: Uint8Array[] = [];
    const onMissing = async (ids: readonly Uint8Array[]): Promise<void> => {
      uploaded.push(...ids);
    };
    await timers.resolve(client.commit([unlink('a')], { assumedBlocks: [x, y], onMissing }));
    assert.equal(uploaded.length, 1);
    assert.deepEqual(
      meta.commits().map((c) => [c.sequence, c.assumedBlocks.length]),
      [
        [1, 2],
        [2, 1],
      ],
    );
    meta.result = () => ({ $case: 'missingBlocks', value: { blockIds: [x] } });
    await assert.rejects(
      timers.resolve(client.commit([unlink('a')], { assumedBlocks: [x], onMissing })),
      isError('EIO'),
    );
    // Blocks that were uploaded, but too early, are the caller's to upload again.
    await assert.rejects(
      timers.resolve(client.commit([unlink('a')], { uploadedAt: 17, onMissing })),
      (error) => error instanceof BlocksMissing && error.code === 'EAGAIN',
    );
    assert.equal(meta.commits().at(-1)?.uploadedAt, 17);
    await close(client);
  });

  it('are not sent when aborted before, and are pursued when aborted after', async () => {
    const { client, meta, timers, changes } = await rig();
    const touched = [
      { attr: fakeAttr(INO, { version: 200 }), previousVersion: 1, previousDataVersion: 1, removed: false },
    ];
    meta.result = () => ({ $case: 'ok', value: { results: [], touched } });
    meta.leader = undefined;
    meta.network.breakStreams(A);
    const unsent = new AbortController();
    const first = client.commit([unlink('never')], { signal: unsent.signal });
    unsent.abort();
    await assert.rejects(timers.resolve(first), isError('EINTR'));
    meta.leader = A;
    await timers.until(() => client.stats().leaseHeld, 2_000, 'lease');
    assert.equal(meta.commits().length, 0);

    meta.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit');
    const sent = new AbortController();
    const second = client.commit([unlink('sent')], { signal: sent.signal });
    await timers.until(() => meta.applied.length === 1, 100, 'applied');
    changes.length = 0;
    sent.abort();
    await assert.rejects(timers.resolve(second), isError('EINTR'));
    await timers.advance(10);
    assert.equal(client.stats().commitsPending, 1);
    meta.network.onDeliver = undefined;
    await timers.until(() => client.stats().commitsPending === 0, 10_000, 'answer');
    assert.deepEqual(changes, [[{ ino: INO, version: 200, dataChanged: false, removed: false }]]);
    await timers.resolve(client.commit([unlink('next')]));
    assert.deepEqual(
      meta.applied.map((c) => [c.sequence, c.ackedBelow]),
      [
        [1, 1],
        [2, 2],
      ],
    );
    await close(client);
  });

  it('add nothing to the cache that a retry was told', async () => {
    const { client, meta, timers } = await rig();
    const touched = [
      { attr: fakeAttr(INO, { version: 200 }), previousVersion: 1, previousDataVersion: 1, removed: false },
    ];
    meta.result = () => ({ $case: 'ok', value: { results: [], touched } });
    meta.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit');
    const retried = client.commit([unlink('a')]);
    await timers.advance(10);
    assert.equal(meta.applied.length, 1);
    meta.network.onDeliver = undefined;
    await timers.resolve(retried);
    assert.equal(client.stats().commitResends, 1);
    assert.equal(client.stats().leaderChanges, 1);
    assert.equal(client.stats().cachedAttrs, 0, 'another client may have changed it since it was applied');
    await timers.resolve(client.commit([unlink('b')]));
    assert.equal(client.stats().cachedAttrs, 1);
    await close(client);
  });

  it('fail with EIO when the session was lost while their fate was unknown; later ones use a new session', async () => {
    const { client, meta, timers, logger } = await rig();
    const before = client.stats().session;
    meta.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit');
    const lost = client.commit([unlink('a')]);
    await timers.advance(10);
    assert.equal(meta.applied.length, 1);
    meta.sessions.delete(before);
    meta.network.onDeliver = undefined;
    meta.network.breakStreams(A);
    const later = client.commit([unlink('b')]);
    await assert.rejects(timers.resolve(lost), isError('EIO'));
    await timers.resolve(later);
    assert.notEqual(client.stats().session, before);
    assert.equal(client.stats().unknownFates, 1);
    assert.deepEqual(
      meta.applied.map((c) => c.session === before),
      [true, false],
    );
    assert.ok(logger.lines.some((l) => l.level === 'error' && l.message.startsWith('session lost')));
    await close(client);
  });

  it('go out under a new session when the answer proves that they did not take effect', async () => {
    const { client, meta, timers } = await rig();
    const before = client.stats().session;
    meta.sessions.delete(before);
    await timers.resolve(Promise.all([client.commit([unlink('a')]), client.commit([unlink('b')])]));
    assert.notEqual(client.stats().session, before);
    assert.deepEqual(
      meta.applied.map((c) => [c.session, c.sequence]),
      [
        [client.stats().session, 1],
        [client.stats().session, 2],
      ],
    );
    assert.equal(client.stats().unknownFates, 0);
    await close(client);
  });

  it('time out while their fate is unknown and are pursued', async () => {
    const { client, meta, timers } = await rig({ timeoutMs: 2_000 });
    meta.leader = undefined;
    meta.network.onDeliver = (m) => !(m.kind === 'reply' && m.body.$case === 'commit');
    meta.leader = A;
    const commit = client.commit([unlink('a')]);
    await timers.until(() => meta.applied.length === 1, 100, 'applied');
    await assert.rejects(timers.resolve(commit), isError('ETIMEDOUT'));
    meta.network.onDeliver = undefined;
    await timers.until(() => client.stats().commitsPending === 0, 10_000, 'answer');
    assert.equal(meta.applied.length, 1);
    await close(client);
  });
});

describe('commits given up', () => {
  const appliedNames = (meta: FakeMeta): string[] =>
    meta.applied.map(({ ops: [op] }) => {
      assert.ok(op?.body?.$case === 'unlink');
      return Buffer.from(op.body.value.name).toString();
    });

  it('do not take effect later when no server has taken them', async () => {
    const { client, meta, timers } = await rig({ timeoutMs: 2_000 });
    meta.script = (body) => (body.$case === 'commit' ? error(ERRNO.EAGAIN) : undefined);
    await assert.rejects(timers.resolve(client.commit([unlink('a')])), isError('ETIMEDOUT'));
    assert.equal(client.stats().commitsPending, 0);
    meta.script = undefined;
    await timers.resolve(client.commit([unlink('b')]));
    await timers.advance(10_000);
    assert.deepEqual(appliedNames(meta), ['b']);
    await close(client);
  });

  it('are forgotten when the refusal arrives after the caller has gone', async () => {
    const { client, meta, timers } = await rig();
    let answer: ((reply: Reply) => void) | undefined;
    meta.script = (body) =>
      body.$case === 'commit' && answer === undefined
        ? new Promise<Reply>((resolve) => (answer = resolve))
        : undefined;
    const abort = new AbortController();
    const commit = client.commit([unlink('a')], { signal: abort.signal });
    await timers.until(() => answer !== undefined, 100, 'request');
    abort.abort();
    await assert.rejects(timers.resolve(commit), isError('EINTR'));
    assert.equal(client.stats().commitsPending, 1);
    answer?.(error(ERRNO.EAGAIN));
    await timers.until(() => client.stats().commitsPending === 0, 100, 'the end of it');
    await timers.advance(10_000);
    assert.deepEqual(appliedNames(meta), []);
    await close(client);
  });

  it('take effect, if they do, before anything that is done after', async () => {
    const { client, meta, timers } = await rig({ timeoutMs: 2_000 });
    const isFirst = (command: Uint8Array): boolean => Buffer.from(command).includes('first');
    let refuse = true;
    meta.script = (body, address) => {
      if (body.$case !== 'commit') return undefined;
      if (address === A) return hang; // may have it in its log
      return refuse && isFirst(body.value.command) ? error(ERRNO.EAGAIN) : undefined;
    };
    const first = client.commit([unlink('first')]);
    await timers.until(() => meta.commits().length === 1, 100, 'sent');
    meta.network.kill(A);
    meta.leader = B;
    await assert.rejects(timers.resolve(first), isError('ETIMEDOUT'));
    const second = client.commit([unlink('second')]);
    await timers.advance(1_000);
    assert.deepEqual(appliedNames(meta), []);
    refuse = false;
    await timers.resolve(second);
    assert.deepEqual(appliedNames(meta), ['first', 'second']);
    await close(client);
  });
});

describe('closing and time', () => {
  it('waits for commits in flight, then refuses', async () => {
    const { client, meta, timers } = await rig();
    const commit = client.commit([unlink('a')]);
    const closed = client.close();
    await timers.resolve(closed);
    await commit;
    assert.equal(meta.applied.length, 1);
    await assert.rejects(client.getattr(INO), isError('EIO'));
    assert.equal(meta.streams.size, 0);
    assert.equal(timers.waiting, 0);
  });

  it('does not wait for ever', async () => {
    const { client, meta, timers } = await rig();
    meta.script = (body) => (body.$case === 'commit' ? hang : undefined);
    const commit = client.commit([unlink('a')]);
    commit.catch(() => undefined);
    await timers.advance(10);
    await timers.resolve(client.close());
    await assert.rejects(commit, isError('EIO'));
  });

  it("estimates the cluster's time and never goes back", async () => {
    const { client, meta, timers } = await rig();
    const ahead = { sec: 1_800_000_000, nsec: 0 };
    meta.script = (body) =>
      body.$case === 'ping' ? { $case: 'ping', value: { time: ahead, leaseValid: true } } : undefined;
    await timers.advance(5_000);
    const first = client.now();
    assert.ok(Math.abs(first.sec - ahead.sec) <= 5);
    meta.script = undefined;
    await timers.advance(10_000);
    const second = client.now();
    assert.ok(second.sec > first.sec || (second.sec === first.sec && second.nsec >= first.nsec));
    await close(client);
  });
});

describe('closing', () => {
  it('waits only for a short time when its farewell gets no answer', async () => {
    const { client, meta, timers } = await rig();
    meta.script = (request) => (request.$case === 'goodbye' ? hang : undefined);
    const startMs = timers.nowMs();
    await close(client);
    const tookMs = timers.nowMs() - startMs;
    assert.ok(tookMs >= CLIENT_GOODBYE_WAIT_MS && tookMs < 2 * CLIENT_GOODBYE_WAIT_MS, `${tookMs} ms`);
    assert.equal(meta.seen('goodbye').length, 1);
  });

  it('uses nothing cached from its farewell on', async () => {
    const { client, meta, timers } = await rig();
    await timers.resolve(client.getattr(INO));
    meta.script = (request) => (request.$case === 'goodbye' ? hang : undefined);
    const closed = client.close();
    await timers.advance(500); // pings are answered meanwhile
    assert.equal(client.stats().leaseHeld, false);
    await assert.rejects(client.getattr(INO), isError('EIO'));
    await timers.resolve(closed);
  });
});
