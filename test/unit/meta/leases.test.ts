import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEASE_EVICTION_BATCH, LEASE_MARGIN_MS, LEASE_TTL_MS } from '../../../src/base/limits.ts';
import type { Recall } from '../../../src/gen/ringfs/v1/meta.ts';
import type { TouchedInode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import { HoldBack } from '../../../src/meta/hold-back.ts';
import { type LeaseHolder, LeaseTable } from '../../../src/meta/leases.ts';
import { isSettled } from '../../support/meta-server-fixture.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

class Stream {
  readonly recalls: Recall[] = [];
  closed = false;
  recall(recall: Recall): void {
    this.recalls.push(recall);
  }
  close(): void {
    this.closed = true;
  }
}

function touched(ino: number, version: number): TouchedInode {
  const attr = { ...Attr.decode(new Uint8Array(0)), ino, version, dataVersion: version };
  return { attr, previousVersion: version - 1, previousDataVersion: version - 1, removed: false };
}

function table(leasesPerSessionMax = 100) {
  const timers = new VirtualTimers();
  const leases = new LeaseTable({ timers }, { leasesPerSessionMax });
  const open = (session: number): { holder: LeaseHolder; stream: Stream } => {
    const stream = new Stream();
    const holder = leases.open(session, stream);
    leases.grant(holder);
    return { holder, stream };
  };
  const read = (holder: LeaseHolder, ...inos: number[]): boolean => {
    const reply = { leased: false };
    leases.finish(leases.begin(holder, inos), reply);
    return reply.leased;
  };
  return { timers, leases, open, read };
}

describe('LeaseTable', () => {
  it('forgets nothing that a client without a stream may still use, and everything later', async () => {
    const { timers, leases, open, read } = table();
    const { holder, stream } = open(1);
    read(holder, 7);
    leases.detach(holder);
    await timers.advance(LEASE_TTL_MS + LEASE_MARGIN_MS - 1);
    leases.prune();
    assert.equal(leases.stats().leases, 1);
    leases.change([{ session: 2, touched: [touched(7, 5)] }]);
    const settled = leases.settled([7], 2);
    assert.ok(settled !== undefined);
    assert.equal(stream.recalls.length, 0);
    await timers.advance(1);
    assert.equal(await isSettled(settled), true);
    leases.prune();
    assert.equal(leases.stats().leases, 0);
    assert.equal(leases.settled([7], 2), undefined);
  });

  it('grants nothing to a stream that is gone', async () => {
    const { leases, open, read } = table();
    const { holder } = open(1);
    const until = holder.validUntilMs;
    leases.detach(holder);
    leases.grant(holder);
    assert.equal(holder.validUntilMs, until);
    assert.equal(read(holder, 7), false);
  });

  it('takes the lease of a reply back until it is on the stream', async () => {
    const { timers, leases, open } = table();
    const { holder } = open(1);
    const early = { leased: false };
    leases.finish(leases.begin(holder, [7]), early);
    assert.equal(early.leased, true);
    leases.change([{ session: 2, touched: [touched(7, 5)] }]);
    assert.equal(early.leased, false);

    const late = { leased: false };
    leases.finish(leases.begin(holder, [7]), late);
    await timers.advance(10);
    leases.change([{ session: 2, touched: [touched(7, 6)] }]);
    assert.equal(late.leased, true, 'sent before the recall');
  });

  it('a read of an inode that its own session changes is disturbed too', () => {
    const { leases, open } = table();
    const { holder, stream } = open(1);
    const ticket = leases.begin(holder, [7]);
    leases.change([{ session: 1, touched: [touched(7, 5)] }]);
    const reply = { leased: false };
    leases.finish(ticket, reply);
    assert.equal(reply.leased, false);
    assert.equal(stream.recalls.length, 0);
  });

  it('gives no more leases to a client that acknowledges none of its evictions', () => {
    const { leases, open, read } = table(10);
    const { holder, stream } = open(1);
    let last = true;
    for (let ino = 1; last; ino++) last = read(holder, ino);
    assert.equal(stream.recalls.length, 1);
    assert.equal(leases.stats().leases, 10 + LEASE_EVICTION_BATCH);
    // The answer to a commit is cached without asking, so its stream is ended, and with it the cache.
    leases.change([{ session: 1, touched: [touched(1_000_000, 5)] }]);
    assert.equal(stream.closed, true);
  });

  it('close wakes everybody who waits, and takes back every reply that is not sent', async () => {
    const { timers, leases, open, read } = table();
    const a = open(1);
    read(a.holder, 7);
    leases.change([{ session: 2, touched: [touched(7, 5)] }]);
    const settled = leases.allSettled(2);
    assert.ok(settled !== undefined);
    const reply = { leased: false };
    leases.finish(leases.begin(a.holder, [8]), reply);
    leases.close();
    await settled;
    assert.equal(reply.leased, false);
    assert.equal(timers.waiting, 0);
    assert.equal(read(a.holder, 9), false);
  });
});

describe('HoldBack', () => {
  it('waits for the time when the sessions are not known', async () => {
    const timers = new VirtualTimers();
    const holdBack = new HoldBack({ timers });
    holdBack.heard(1);
    assert.ok(holdBack.wait() !== undefined);
    await timers.advance(LEASE_TTL_MS + LEASE_MARGIN_MS);
    assert.equal(holdBack.wait(), undefined);
  });

  it('counts hellos that came before the sessions were known, and sessions that expired', () => {
    const timers = new VirtualTimers();
    const holdBack = new HoldBack({ timers });
    holdBack.heard(1);
    holdBack.expect([1, 2]);
    assert.ok(holdBack.wait() !== undefined);
    holdBack.heard(2);
    assert.equal(holdBack.wait(), undefined);
    assert.equal(timers.waiting, 0);
  });
});
