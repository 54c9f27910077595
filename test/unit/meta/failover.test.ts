import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEASE_MARGIN_MS, LEASE_TTL_MS } from '../../../src/base/limits.ts';
import { isSettled, leaderFixture, MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { bytes, mkfile, setAttr } from '../../support/namespace-ops.ts';
import { inoOf, type RequestBody } from '../../support/stub-meta-client.ts';

const ROOT = 1;
const BOUND_MS = LEASE_TTL_MS + LEASE_MARGIN_MS;

/** Two servers over one log: `first` leads, then `second` does. Two clients have sessions. */
async function failover() {
  const first = await leaderFixture();
  const second = new MetaServerFixture(
    {},
    { id: 's2', timers: first.timers, machine: first.replica.machine },
  );
  const a = await first.client();
  const b = await first.client();
  const ino = inoOf(await a.commit([mkfile(ROOT, 'f')]));
  const change = async (): Promise<void> => {
    first.replica.becomeFollower('s2');
    second.replica.becomeLeader();
    await turn();
  };
  return { first, second, a, b, ino, timers: first.timers, change };
}

describe('change of leader', () => {
  it('ends the streams of sessions and names the new leader', async () => {
    const { a, b, change } = await failover();
    await change();
    for (const client of [a, b]) {
      assert.equal(client.open, false);
      assert.deepEqual(client.log.at(-1)?.body, {
        $case: 'notLeader',
        value: { leaderId: 's2', leaderAddress: 's2:1' },
      });
    }
  });

  it('keeps observers connected', async () => {
    const { first, change } = await failover();
    const observer = first.stub();
    await observer.observe();
    await change();
    assert.equal(observer.open, true);
    const topology = await observer.ask({ $case: 'topology', value: {} }, 'topology');
    assert.equal(topology.leaderId, 's2');
  });

  it('a commit that waits for a recall is not acknowledged by the old leader', async () => {
    const { a, b, ino, change } = await failover();
    await b.ask({ $case: 'getAttr', value: { ino } }, 'getAttr');
    b.autoAck = false;
    const commit = a.call(a.commitRequest([setAttr(ino, { mode: 0o600 })]));
    await turn();
    await change();
    assert.equal((await commit).$case, 'notLeader');
  });

  it('the new leader applies a mutation at once and answers it after the lease time', async () => {
    const { second, a, timers, change } = await failover();
    await change();
    const since = timers.nowMs();
    const client = second.stub();
    await client.hello(a.session);
    client.sequence = a.sequence;
    const applied = second.replica.appliedIndex();
    const commit = client.commit([mkfile(ROOT, 'g')]);
    await turn();
    assert.equal(second.replica.appliedIndex(), applied + 1);
    // Reads are answered meanwhile.
    await client.ping();
    await client.ask({ $case: 'lookup', value: { parent: ROOT, name: bytes('f') } }, 'lookup');
    await timers.advance(BOUND_MS - 1);
    assert.equal(await isSettled(commit), false);
    await timers.advance(1);
    assert.equal((await commit).body?.$case, 'ok');
    assert.equal(timers.nowMs() - since, BOUND_MS);
  });

  it('it answers as soon as every session has said hello', async () => {
    const { second, a, b, timers, change } = await failover();
    await change();
    const client = second.stub();
    await client.hello(a.session);
    client.sequence = a.sequence;
    const commit = client.commit([mkfile(ROOT, 'g')]);
    assert.equal(await isSettled(commit), false);
    await second.stub().hello(b.session);
    assert.equal(await isSettled(commit), true);
    assert.equal(timers.nowMs(), 0);
  });

  it('a session that is new does not stand for one that is missing', async () => {
    const { second, change } = await failover();
    await change();
    const client = await second.client();
    assert.equal(await isSettled(client.commit([mkfile(ROOT, 'g')])), false);
  });

  it('a refused commit is answered at once', async () => {
    const { second, a, change } = await failover();
    await change();
    const client = second.stub();
    await client.hello(a.session);
    client.sequence = a.sequence;
    assert.equal((await client.commit([mkfile(ROOT, 'f')])).body?.$case, 'rejected');
  });

  it('the retry of a commit that the old leader applied waits too', async () => {
    const { first, second, a, b, timers, change } = await failover();
    const request = a.commitRequest([mkfile(ROOT, 'g')]);
    first.replica.hold();
    const lost = a.call(request);
    await turn();
    first.replica.releaseLost();
    await lost;
    await change();
    const client = second.stub();
    await client.hello(a.session);
    const retry = client.ask(request, 'commit');
    assert.equal(await isSettled(retry), false);
    await second.stub().hello(b.session);
    assert.equal((await retry).body?.$case, 'ok');
    assert.equal(timers.nowMs(), 0);
  });

  it('a leader that loses office again acknowledges nothing it held back', async () => {
    const { second, a, change } = await failover();
    await change();
    const client = second.stub();
    await client.hello(a.session);
    client.sequence = a.sequence;
    const commit = client.call(client.commitRequest([mkfile(ROOT, 'g')]));
    await turn();
    second.replica.becomeFollower();
    assert.equal((await commit).$case, 'notLeader');
    assert.equal(second.timers.waiting, 0, 'no timer outlives the leadership');
  });

  it('a read that was waiting for the barrier claims no lease of the old term', async () => {
    const { first, b, ino, change } = await failover();
    let go: (() => void) | undefined;
    first.replica.barrier = () =>
      new Promise((resolve) => {
        go = resolve;
      });
    const read = b.call({ $case: 'getAttr', value: { ino } });
    await turn();
    await change();
    first.replica.becomeLeader();
    go?.();
    assert.equal((await read).$case, 'notLeader');
  });
});

describe('not the leader', () => {
  const requests: RequestBody[] = [
    {
      $case: 'hello',
      value: { session: 0, nonce: new Uint8Array(16), client: 'c', clusterId: '', observer: false },
    },
    { $case: 'ping', value: {} },
    { $case: 'getAttr', value: { ino: ROOT } },
    { $case: 'commit', value: { command: new Uint8Array(0) } },
    { $case: 'statFs', value: {} },
  ];

  it('a follower names the leader to everybody but observers', async () => {
    const fixture = new MetaServerFixture();
    fixture.replica.becomeFollower('s2');
    for (const request of requests) {
      const reply = await fixture.stub().ask(request, 'notLeader');
      assert.deepEqual(reply, { leaderId: 's2', leaderAddress: 's2:1' }, request.$case);
    }
    const observer = fixture.stub();
    const hello = await observer.observe();
    assert.equal(hello.clusterId, 'c1');
    assert.equal(await observer.ping(), false);
    await observer.ask({ $case: 'statFs', value: {} }, 'notLeader');
    const topology = await observer.ask({ $case: 'topology', value: {} }, 'topology');
    assert.deepEqual(topology, {
      clusterId: 'c1',
      leaderId: 's2',
      members: [{ id: 's1', address: 's1:1', voter: true }],
      blockNodes: [],
      replicas: 3,
      appliedIndex: 1,
    });
  });

  it('a leader that is not ready yet names nobody', async () => {
    const fixture = new MetaServerFixture();
    fixture.replica.leader = () => ({ id: fixture.replica.id, address: 's1:1' });
    assert.deepEqual(await fixture.stub().ask(requests[0]!, 'notLeader'), {
      leaderId: '',
      leaderAddress: '',
    });
  });

  it('a server that starts when its replica leads already serves', async () => {
    const fixture = new MetaServerFixture();
    fixture.server.stop();
    fixture.replica.becomeLeader();
    const again = new MetaServerFixture({}, { timers: fixture.timers, machine: fixture.replica.machine });
    again.replica.becomeLeader();
    assert.equal(again.server.stats().leading, true);
    assert.equal(fixture.server.stats().leading, false, 'a stopped server does not lead');
  });
});
