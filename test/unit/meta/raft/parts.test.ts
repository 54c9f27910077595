import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import * as zlib from 'node:zlib';
import type { ServerId } from '../../../../src/base/ids.ts';
import { RAFT_TICK_MS } from '../../../../src/base/limits.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import { NO_MEMBERS } from '../../../../src/core/raft/conf-change.ts';
import {
  EntryType,
  type RaftConfState,
  type RaftEntry,
  RaftMessage,
  RaftMessageType,
} from '../../../../src/gen/ringfs/v1/raft.ts';
import { LEASE_MS, LeaseClock } from '../../../../src/meta/raft/lease-clock.ts';
import { ChecksumError, seal, tableCrc32, unseal } from '../../../../src/meta/raft/log-codec.ts';
import { RaftLogStore } from '../../../../src/meta/raft/log-store.ts';
import { Proposals } from '../../../../src/meta/raft/proposals.ts';
import { ReadRounds } from '../../../../src/meta/raft/read-rounds.ts';
import { Ticker } from '../../../../src/meta/raft/ticker.ts';
import { type Applied, ProposalLostError } from '../../../../src/meta/replica.ts';
import { MemoryMetaStorage } from '../../../support/memory-meta-storage.ts';
import { SteppedTimers } from '../../../support/stepped-timers.ts';

const CONF: RaftConfState = { ...NO_MEMBERS, voters: ['s1', 's2', 's3'] };
const entry = (index: number, term = 1, bytes = 10): RaftEntry => ({
  index,
  term,
  type: EntryType.NORMAL,
  data: new Uint8Array(bytes).fill(index),
});
const entries = (first: number, last: number, term = 1): RaftEntry[] =>
  Array.from({ length: last - first + 1 }, (_, i) => entry(first + i, term));

describe('sealed values', () => {
  it('come back, and not under another key or changed', () => {
    const key = Uint8Array.of(1, 2);
    const sealed = seal(key, Uint8Array.of(3, 4, 5));
    assert.deepEqual([...unseal(key, sealed)], [3, 4, 5]);
    assert.throws(() => unseal(Uint8Array.of(1, 3), sealed), ChecksumError);
    assert.throws(() => unseal(key, sealed.subarray(0, 6)), ChecksumError);
    assert.throws(() => unseal(key, sealed.subarray(0, 3)), ChecksumError);
    for (let at = 0; at < sealed.length; at++) {
      const bad = sealed.slice();
      bad[at]! ^= 0x10;
      assert.throws(() => unseal(key, bad), ChecksumError);
    }
  });

  it('have the checksum that zlib has', () => {
    const random = seededRandom(1);
    const native = (zlib as { crc32?: (data: Uint8Array, start?: number) => number }).crc32;
    assert.equal(tableCrc32(new TextEncoder().encode('123456789')), 0xcbf43926);
    for (const length of [0, 1, 7, 1000]) {
      const data = random.bytes(length);
      const whole = tableCrc32(data);
      assert.equal(tableCrc32(data.subarray(length >> 1), tableCrc32(data.subarray(0, length >> 1))), whole);
      if (native !== undefined) assert.equal(native(data), whole);
    }
  });
});

describe('RaftLogStore', () => {
  async function reloaded(storage: MemoryMetaStorage): Promise<number[][]> {
    const log = await RaftLogStore.open(storage);
    const { entries: found } = await log.load();
    await log.close();
    return found.map((e) => [e.index, e.term]);
  }

  it('replaces the tail from the first appended entry on', async () => {
    const storage = new MemoryMetaStorage();
    const log = await RaftLogStore.open(storage);
    await log.load();
    await log.append(entries(1, 6), { term: 1, votedFor: 's1' as ServerId, commit: 2 }, { sync: true });
    const bytesBefore = log.bytes;
    await log.append(entries(3, 4, 2), { term: 2, votedFor: undefined, commit: 2 }, { sync: true });
    assert.equal(log.lastIndex, 4);
    assert.equal(log.bytes, (bytesBefore * 4) / 6);
    assert.deepEqual(await reloaded(storage), [
      [1, 1],
      [2, 1],
      [3, 2],
      [4, 2],
    ]);
  });

  it('starts after the point of compaction, even when the deletion did not happen', async () => {
    const storage = new MemoryMetaStorage();
    const log = await RaftLogStore.open(storage);
    await log.load();
    await log.append(entries(1, 10), undefined, { sync: true });
    await log.compact({ index: 7, term: 1, confState: CONF });
    assert.equal(log.startIndex, 7);
    assert.deepEqual(
      (await reloaded(storage)).map(([index]) => index),
      [8, 9, 10],
    );
    assert.equal(storage.logRows.size, 4, 'three entries and the start');
  });

  it('is empty after a reset, with a commit index that is not behind it', async () => {
    const storage = new MemoryMetaStorage();
    const log = await RaftLogStore.open(storage);
    await log.load();
    await log.append(entries(1, 10), { term: 1, votedFor: undefined, commit: 3 }, { sync: true });
    await log.reset({ index: 50, term: 4, confState: CONF });
    assert.deepEqual([log.startIndex, log.lastIndex, log.bytes, log.hardState.commit], [50, 50, 0, 50]);
    await log.append(entries(51, 52, 4), undefined, { sync: true });
    assert.deepEqual(await reloaded(storage), [
      [51, 4],
      [52, 4],
    ]);
  });

  it('keeps as much as both limits allow behind the applied index', async () => {
    const log = await RaftLogStore.open(new MemoryMetaStorage());
    await log.load();
    await log.append(entries(1, 100), undefined, { sync: true });
    const each = log.bytes / 100;
    assert.equal(log.compactionPoint(90, 20, 1e9), 70);
    assert.equal(log.compactionPoint(90, 20, each * 5), 85);
    assert.equal(log.compactionPoint(10, 20, 1e9), 0);
    assert.equal(log.compactionPoint(90, 20, 0), 90);
  });

  it('notices when a reopened store has less than was synced', async () => {
    const storage = new MemoryMetaStorage();
    const log = await RaftLogStore.open(storage);
    await log.load();
    await log.append(entries(1, 3), undefined, { sync: true });
    await log.reopen();
    storage.logRows.writeSync([...storage.logRows.dumpSync()].map(([key]) => ({ type: 'del', key })));
    await assert.rejects(log.reopen(), /entry 3 was synced and is gone/);
  });
});

describe('Proposals', () => {
  const outcome = { result: { index: 1, body: undefined }, value: 0, session: 0, duplicate: false };
  const applied = (index: number, term: number): Applied => ({ index, term, outcome });

  it('resolves by index and term', async () => {
    const proposals = new Proposals();
    const mine = proposals.wait(5, 2);
    const overwritten = proposals.wait(6, 2);
    overwritten.catch(() => undefined);
    proposals.settle([entry(5, 2), entry(6, 3)], [applied(5, 2), applied(6, 3)]);
    assert.equal((await mine).index, 5);
    await assert.rejects(overwritten, ProposalLostError);
    assert.equal(proposals.size, 0);
  });

  it('loses what an entry without a command replaced, and everything at the end of leadership', async () => {
    const proposals = new Proposals();
    const replaced = proposals.wait(5, 2);
    const pending = proposals.wait(6, 2);
    replaced.catch(() => undefined);
    pending.catch(() => undefined);
    proposals.settle([entry(5, 3, 0)], []);
    await assert.rejects(replaced, ProposalLostError);
    proposals.loseAll();
    await assert.rejects(pending, ProposalLostError);
  });
});

describe('ReadRounds', () => {
  const refused = (): Error => new Error('not the leader');

  it('gives a reader only a round that began after it asked', async () => {
    const started: number[] = [];
    const rounds = new ReadRounds((context) => started.push(context));
    const first = rounds.join();
    const second = rounds.join();
    const third = rounds.join();
    assert.deepEqual(started, [1]);
    rounds.onReadStates([{ context: 1, index: 10 }], refused);
    assert.equal(await first, 10);
    assert.deepEqual(started, [1, 2]);
    rounds.onReadStates([{ context: 1, index: 11 }], refused);
    rounds.onReadStates([{ context: 2, index: 12 }], refused);
    assert.deepEqual(await Promise.all([second, third]), [12, 12]);
    assert.deepEqual(started, [1, 2]);
  });

  it('rejects when the core gives up', async () => {
    const rounds = new ReadRounds(() => undefined);
    const reader = rounds.join();
    const waiting = rounds.join();
    rounds.onReadStates([{ context: 1, index: undefined }], refused);
    await assert.rejects(reader, /not the leader/);
    rounds.rejectAll(new Error('stopped'));
    await assert.rejects(waiting, /stopped/);
  });
});

describe('Ticker', () => {
  it('ticks at its rate', () => {
    const timers = new SteppedTimers();
    let ticks = 0;
    const ticker = new Ticker(timers, () => ticks++);
    ticker.start();
    timers.advance(RAFT_TICK_MS * 20);
    assert.equal(ticks, 20);
    ticker.stop();
    timers.advance(1000);
    assert.equal(ticks, 20);
    assert.equal(timers.pending, 0);
  });

  it('does not make up for ticks missed in a stall', () => {
    const timers = new SteppedTimers();
    let ticks = 0;
    const ticker = new Ticker(timers, () => ticks++);
    ticker.start();
    timers.stall(RAFT_TICK_MS * 100);
    assert.equal(ticks, 1);
    timers.advance(RAFT_TICK_MS);
    assert.ok(ticks <= 2);
    timers.advance(RAFT_TICK_MS * 10);
    assert.ok(ticks >= 11 && ticks <= 13);
  });
});

describe('LeaseClock', () => {
  const heartbeat = (to: string, context: number, term = 2): RaftMessage => ({
    ...RaftMessage.decode(new Uint8Array(0)),
    type: RaftMessageType.HEARTBEAT,
    from: 's1',
    to,
    term,
    context,
  });
  const answer = (from: string, context: number, term = 2): RaftMessage => ({
    ...heartbeat('s1', context, term),
    type: RaftMessageType.HEARTBEAT_RESPONSE,
    from,
  });

  it('runs from the sending of the heartbeat, not from its answer', () => {
    const lease = new LeaseClock('s1' as ServerId);
    lease.onSend([heartbeat('s2', 1), heartbeat('s3', 1)], 1000);
    assert.equal(lease.valid(2, CONF, 1000), false);
    lease.onReceive(answer('s2', 1));
    assert.equal(lease.valid(2, CONF, 1000 + LEASE_MS - 1), true);
    assert.equal(lease.valid(2, CONF, 1000 + LEASE_MS), false);
  });

  it('ignores other terms, unknown rounds and a minority', () => {
    const lease = new LeaseClock('s1' as ServerId);
    lease.onSend([heartbeat('s2', 1)], 1000);
    lease.onReceive(answer('s2', 1, 1));
    lease.onReceive(answer('s2', 9));
    assert.equal(lease.valid(2, CONF, 1001), false);
    lease.onReceive(answer('s2', 1));
    assert.equal(lease.valid(3, CONF, 1001), false);
    const five = { ...CONF, voters: ['s1', 's2', 's3', 's4', 's5'] };
    assert.equal(lease.valid(2, five, 1001), false);
    const joint = { ...CONF, votersOutgoing: ['s1', 's4', 's5'] };
    assert.equal(lease.valid(2, joint, 1001), false);
    lease.onSend([heartbeat('s2', 1, 5)], 2000);
    assert.equal(lease.valid(2, CONF, 1001), false, 'a new term starts from nothing');
  });
});
