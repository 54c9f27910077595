import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from '../../../src/base/errno.ts';
import { BLOCK_NODE_ALIVE_MS } from '../../../src/base/limits.ts';
import { type BlockNodeInfo, BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { leaderFixture, MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { inline, mkfile, write } from '../../support/namespace-ops.ts';
import { inoOf, type StubMetaClient } from '../../support/stub-meta-client.ts';

const GIB = 2 ** 30;

const node = (id: string, more: Partial<BlockNodeInfo> = {}): BlockNodeInfo => ({
  id,
  address: `${id}:2`,
  capacityBytes: 300 * GIB,
  usedBytes: 100 * GIB,
  virtualNodes: 32,
  availableBytes: 1000 * GIB,
  ...more,
});

const report = (client: StubMetaClient, info: BlockNodeInfo) =>
  client.ask({ $case: 'blockNodeReport', value: { node: info } }, 'blockNodeReport');
const statFs = (client: StubMetaClient) => client.ask({ $case: 'statFs', value: {} }, 'statFs');
const topology = (client: StubMetaClient) => client.ask({ $case: 'topology', value: {} }, 'topology');

async function setUp() {
  const fixture = await leaderFixture();
  const observer = fixture.stub();
  await observer.observe();
  const registered = (): number =>
    fixture.replica.proposed.filter((command) => command.body?.$case === 'registerBlockNode').length;
  return { fixture, observer, registered, timers: fixture.timers };
}

describe('block node registry', () => {
  it('registers a new node and answers with all', async () => {
    const { observer, registered } = await setUp();
    await report(observer, node('n1'));
    const reply = await report(observer, node('n2'));
    assert.deepEqual(reply, {
      nodes: [
        { info: node('n1'), alive: true, mode: BlockNodeMode.UNSPECIFIED, placedAt: 2 },
        { info: node('n2'), alive: true, mode: BlockNodeMode.UNSPECIFIED, placedAt: 3 },
      ],
      clusterId: 'c1',
      replicas: 3,
    });
    assert.equal(registered(), 2);
  });

  it('writes the row again only for what matters, and knows the latest anyway', async () => {
    const { observer, registered } = await setUp();
    await report(observer, node('n1'));
    await report(observer, node('n1', { usedBytes: 100.5 * GIB }));
    assert.equal(registered(), 1);
    assert.equal((await topology(observer)).blockNodes[0]?.info?.usedBytes, 100.5 * GIB);
    const changes: Partial<BlockNodeInfo>[] = [
      { address: 'other:2' },
      { address: 'other:2', capacityBytes: 400 * GIB },
      { address: 'other:2', capacityBytes: 400 * GIB, virtualNodes: 16 },
      { address: 'other:2', capacityBytes: 400 * GIB, virtualNodes: 16, usedBytes: 101.5 * GIB },
    ];
    for (const [i, change] of changes.entries()) {
      await report(observer, node('n1', change));
      assert.equal(registered(), i + 2, JSON.stringify(change));
    }
    await report(observer, node('n3', { availableBytes: 50 * GIB }));
    const registeredBefore = registered();
    await report(observer, node('n3', { availableBytes: 49.5 * GIB }));
    assert.equal(registered(), registeredBefore);
    await report(observer, node('n3', { availableBytes: 48 * GIB }));
    assert.equal(registered(), registeredBefore + 1);
    await report(observer, node('n2', { usedBytes: GIB / 2 }));
    const before = registered();
    await report(observer, node('n2', { usedBytes: Math.floor((GIB / 2) * 1.04) }));
    assert.equal(registered(), before);
    await report(observer, node('n2', { usedBytes: Math.floor((GIB / 2) * 1.06) }));
    assert.equal(registered(), before + 1);
  });

  it('a node that does not report is not alive', async () => {
    const { observer, timers } = await setUp();
    await report(observer, node('n1'));
    await timers.advance(BLOCK_NODE_ALIVE_MS);
    assert.equal((await topology(observer)).blockNodes[0]?.alive, true);
    await timers.advance(1);
    assert.equal((await topology(observer)).blockNodes[0]?.alive, false);
    await report(observer, node('n1'));
    assert.equal((await topology(observer)).blockNodes[0]?.alive, true);
  });

  it('refuses a report without an id or address', async () => {
    const { observer } = await setUp();
    for (const bad of [node(''), node('a b'), node('n', { address: '' })]) {
      const error = await observer.ask({ $case: 'blockNodeReport', value: { node: bad } }, 'error');
      assert.equal(error.errno, ERRNO.EINVAL);
    }
    const none = { $case: 'blockNodeReport', value: { node: undefined } } as const;
    assert.equal((await observer.ask(none, 'error')).errno, ERRNO.EINVAL);
  });

  it('a failed registration is tried with the next report', async () => {
    const { observer, fixture, registered } = await setUp();
    fixture.replica.overloaded = true;
    const request = { $case: 'blockNodeReport', value: { node: node('n1') } } as const;
    assert.equal((await observer.ask(request, 'error')).errno, ERRNO.EAGAIN);
    fixture.replica.overloaded = false;
    await report(observer, node('n1'));
    assert.equal(registered(), 1);
  });

  it('one registration of a node at a time', async () => {
    const { observer, fixture } = await setUp();
    fixture.replica.hold();
    const reports = [report(observer, node('n1')), report(observer, node('n1', { usedBytes: 0 }))];
    await turn();
    assert.equal(fixture.replica.held, 1);
    fixture.replica.release();
    await Promise.all(reports);
  });

  it('a follower tells of registered nodes, none alive', async () => {
    const { observer, fixture } = await setUp();
    await report(observer, node('n1'));
    const follower = new MetaServerFixture({}, { id: 's2', machine: fixture.replica.machine });
    const other = follower.stub();
    await other.observe();
    const [known, ...more] = (await topology(other)).blockNodes;
    assert.deepEqual([known?.info?.id, known?.alive, more.length], ['n1', false, 0]);
  });
});

describe('statfs', () => {
  it('divides by the number of copies and leaves dead nodes out', async () => {
    const { observer, timers, fixture } = await setUp();
    const client = await fixture.client();
    const ino = inoOf(await client.commit([mkfile(1, 'f')]));
    await client.commit([write(ino, [inline(0, 'hello')])]);
    for (const id of ['n1', 'n2', 'n3', 'n4']) await report(observer, node(id));
    assert.deepEqual(await statFs(client), {
      inodes: 2,
      logicalBytes: 5,
      capacityBytes: 400 * GIB,
      availableBytes: Math.floor((800 * GIB) / 3),
    });
    await timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    for (const id of ['n1', 'n2']) await report(observer, node(id));
    // Two nodes hold two copies of everything.
    assert.deepEqual(
      [(await statFs(observer)).capacityBytes, (await statFs(observer)).availableBytes],
      [300 * GIB, 200 * GIB],
    );
  });

  it('offers no more than the disks have free', async () => {
    const { observer } = await setUp();
    for (const id of ['n1', 'n2', 'n3']) await report(observer, node(id, { availableBytes: 20 * GIB }));
    const { capacityBytes, availableBytes } = await statFs(observer);
    assert.deepEqual([capacityBytes, availableBytes], [120 * GIB, 20 * GIB]);
    await report(observer, node('n1', { availableBytes: 500 * GIB }));
    assert.equal((await statFs(observer)).availableBytes, 80 * GIB, 'nor more than the node may store');
    await report(observer, node('n1', { availableBytes: 0 }));
    assert.equal((await statFs(observer)).availableBytes, Math.floor((40 * GIB) / 3));
  });

  it('a new leader believes the rows until the nodes have had time to report', async () => {
    const { observer, fixture, timers } = await setUp();
    for (const id of ['n1', 'n2', 'n3']) await report(observer, node(id));
    fixture.replica.becomeFollower();
    fixture.replica.becomeLeader();
    assert.equal((await statFs(observer)).capacityBytes, 300 * GIB);
    await timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    assert.equal((await statFs(observer)).capacityBytes, 0);
  });
});
