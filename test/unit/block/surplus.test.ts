import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../../src/base/bytes.ts';
import { SURPLUS_GRACE_MS_DEFAULT, SURPLUS_INTERVAL_MS } from '../../../src/base/limits.ts';
import { BlockErrorCode, type NodeInfo } from '../../../src/gen/ringfs/v1/block.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlockCluster, errorCode } from '../../support/block-cluster.ts';
import { blockIdOf, type TestBlock, testBlocks } from '../../support/test-blocks.ts';

const OLD = ['a', 'b', 'c'];
const ALL = [...OLD, 'd'];
const UPLOADED_AT = 50;

type Changes = Parameters<BlockCluster['tellRegistry']>[0];

interface Fixture {
  readonly cluster: BlockCluster;
  readonly blocks: readonly TestBlock[];
  readonly replicas: number;
  /** What the registry says from now on. */
  readonly say: (changes: Changes) => void;
}

/** Three nodes with blocks, and the registry's news every second. */
async function threeNodes(
  options: { readonly silent?: boolean; readonly replicas?: number } = {},
): Promise<Fixture> {
  const { replicas = 3 } = options;
  const cluster = new BlockCluster({ replicas });
  const { timers } = cluster;
  let changes: Changes = {};
  const tell = (): void => {
    cluster.tellRegistry(changes);
    timers.after(1000, tell);
  };
  cluster.start(...OLD);
  await cluster.untilRing(OLD);
  if (options.silent !== true) tell();
  const blocks = testBlocks(60);
  for (const { id, data } of blocks) {
    const value = { blockId: fromHex(id), data, replicate: true, uploadedAt: UPLOADED_AT };
    const [owner] = await cluster.owners('a', { id, data }, replicas);
    assert.equal((await cluster.call(owner!, { $case: 'put', value })).$case, 'put');
  }
  await timers.advance(100);
  return {
    cluster,
    blocks,
    replicas,
    say: (now) => {
      changes = now;
    },
  };
}

/** The fourth joins, and has copies of what it owns before anybody drops any. */
async function join({ cluster, blocks, replicas }: Fixture): Promise<void> {
  cluster.start('d');
  await cluster.untilRing(ALL);
  await cluster.timers.advance(10_000);
  assert.ok(blocks.some((block) => cluster.holders(block).length === replicas + 1));
}

const infoOf = (cluster: BlockCluster, name: string): Promise<NodeInfo> =>
  cluster.timers.resolve(cluster.node(name).server.info());

async function totals(cluster: BlockCluster): Promise<{ dropped: number; bytes: number; surplus: number }> {
  const infos = await Promise.all(ALL.map((name) => infoOf(cluster, name)));
  const sum = (of: (info: NodeInfo) => number | undefined): number =>
    infos.reduce((total, info) => total + (of(info) ?? 0), 0);
  return {
    dropped: sum(({ repair }) => repair?.droppedBlocks),
    bytes: sum(({ repair }) => repair?.droppedBytes),
    surplus: sum(({ repair }) => repair?.surplusBlocks),
  };
}

async function assertOnOwnersAlone({ cluster, blocks }: Fixture): Promise<void> {
  for (const block of blocks) {
    const owners = await cluster.owners('a', block);
    assert.equal(owners.length, 3);
    assert.deepEqual(cluster.holders(block), [...owners].sort());
  }
}

const LONG_MS = SURPLUS_GRACE_MS_DEFAULT + 2 * SURPLUS_INTERVAL_MS;

describe('copies of blocks that a node does not own any more', () => {
  it('stay for a grace after a node has joined, and are dropped then', async () => {
    const fixture = await threeNodes();
    const { cluster, blocks } = fixture;
    await join(fixture);
    const four = blocks.filter((block) => cluster.holders(block).length === 4);
    await cluster.timers.advance(SURPLUS_GRACE_MS_DEFAULT - 15_000);
    assert.deepEqual(await totals(cluster), { dropped: 0, bytes: 0, surplus: 0 });
    await cluster.timers.advance(LONG_MS);
    await assertOnOwnersAlone(fixture);
    const bytes = four.reduce((sum, { data }) => sum + data.length, 0);
    assert.deepEqual(await totals(cluster), { dropped: four.length, bytes, surplus: 0 });
    for (const block of blocks) {
      const owners = await cluster.owners('a', block);
      const other = ALL.find((name) => !owners.includes(name))!;
      assert.equal(errorCode(await cluster.get(other, block)), BlockErrorCode.NOT_FOUND);
      for (const name of owners) assert.equal((await cluster.get(name, block)).$case, 'get');
    }
    await cluster.stop();
  });

  it('stay while one owner has no copy, has a bad one, or is not alive, and go once that is mended', async () => {
    const fixture = await threeNodes();
    const { cluster, blocks, say } = fixture;
    cluster.start('d');
    const { store } = cluster.node('d');
    store.beforePut = () => Promise.reject(new Error('disk on fire'));
    await cluster.untilRing(ALL);
    await cluster.timers.advance(LONG_MS);
    const ofFourth: TestBlock[] = [];
    for (const block of blocks) if ((await cluster.owners('a', block)).includes('d')) ofFourth.push(block);
    assert.deepEqual(await totals(cluster), { dropped: 0, bytes: 0, surplus: ofFourth.length });
    store.beforePut = undefined;
    say({ d: { alive: false } });
    await cluster.timers.advance(LONG_MS);
    assert.ok(ofFourth.every((block) => cluster.holders(block).length === 4));
    // It is found bad, and cannot be replaced for now.
    const [bad] = ofFourth;
    store.corrupt(bad!.id);
    await cluster.call('d', { $case: 'verify', value: { blockIds: [fromHex(bad!.id)], heal: false } });
    store.beforePut = () => Promise.reject(new Error('bad sector'));
    say({});
    await cluster.timers.advance(LONG_MS);
    assert.deepEqual(
      ofFourth.filter((block) => OLD.every((name) => cluster.holders(block).includes(name))),
      [bad],
    );
    store.beforePut = undefined;
    await cluster.timers.advance(2 * LONG_MS);
    await assertOnOwnersAlone(fixture);
    await cluster.stop();
  });

  it('are not dropped for copies of which none is good, and heal those', async () => {
    const fixture = await threeNodes({ replicas: 1 });
    const { cluster, blocks } = fixture;
    await join(fixture);
    const { store } = cluster.node('d');
    assert.ok(store.blocks.size > 0);
    for (const id of store.blocks.keys()) store.corrupt(id);
    await cluster.timers.advance(LONG_MS);
    for (const block of blocks) {
      const owners = await cluster.owners('a', block, 1);
      assert.deepEqual(cluster.holders(block), owners);
      const reply = await cluster.get(owners[0]!, block);
      assert.ok(reply.$case === 'get' && blockIdOf(reply.value.data) === block.id);
    }
    await cluster.stop();
  });

  it('hand their index on, so that no late delete takes what is left', async () => {
    const fixture = await threeNodes();
    const { cluster, blocks } = fixture;
    await join(fixture);
    const d = cluster.node('d').store;
    for (const id of d.blocks.keys()) d.uploadedAt.set(id, 1);
    await cluster.timers.advance(LONG_MS);
    await assertOnOwnersAlone(fixture);
    assert.ok((await totals(cluster)).dropped > 0);
    for (const { id } of blocks) {
      if (d.blocks.has(id)) assert.equal(d.uploadedAt.get(id), UPLOADED_AT);
    }
    const value = { blockIds: blocks.map(({ id }) => fromHex(id)), before: UPLOADED_AT };
    for (const name of ALL) await cluster.call(name, { $case: 'delete', value });
    await assertOnOwnersAlone(fixture);
    await cluster.stop();
  });

  it('stay on a node that drains, and while the registry says nothing', async () => {
    const fixture = await threeNodes({ silent: true });
    const { cluster, blocks } = fixture;
    await join(fixture);
    const before = blocks.map((block) => cluster.holders(block));
    cluster.tellRegistry();
    await cluster.timers.advance(LONG_MS);
    assert.deepEqual(
      blocks.map((block) => cluster.holders(block)),
      before,
    );
    await cluster.stop();

    const other = await threeNodes();
    await join(other);
    other.say({ b: { mode: BlockNodeMode.DRAINING } });
    await other.cluster.timers.advance(LONG_MS);
    for (const block of other.blocks) {
      assert.deepEqual(other.cluster.holders(block), ALL, 'three own it, and the fourth drains');
    }
    assert.equal((await totals(other.cluster)).dropped, 0);
    other.say({});
    await other.cluster.timers.advance(2 * LONG_MS);
    await assertOnOwnersAlone(other);
    await other.cluster.stop();
  });

  it('stay while an owner is of a version that does not vouch', async () => {
    const fixture = await threeNodes();
    const { cluster, blocks } = fixture;
    cluster.start('d');
    const d = cluster.node('d');
    cluster.network.listen(d.address, (peer) => {
      const handler = d.server.acceptor(peer);
      return {
        onRequest: async (body) => {
          // A server without this request answers with none.
          if (body.$case === 'vouch') throw new Error('unknown request');
          return await handler.onRequest(body);
        },
        onClose: () => handler.onClose(),
      };
    });
    await cluster.untilRing(ALL);
    await cluster.timers.advance(LONG_MS);
    assert.equal((await totals(cluster)).dropped, 0);
    let ofFourth = 0;
    for (const block of blocks) if ((await cluster.owners('a', block)).includes('d')) ofFourth++;
    assert.equal((await totals(cluster)).surplus, ofFourth);
    await cluster.stop();
  });
});

describe('a node that is asked to vouch', () => {
  it('does so for what it owns and has, and refuses what makes no sense', async () => {
    const fixture = await threeNodes();
    const { cluster, blocks } = fixture;
    await join(fixture);
    const blockIds = blocks.map(({ id }) => fromHex(id));
    for (const name of ALL) {
      const value = { blockIds, uploadedAt: blocks.map(() => UPLOADED_AT), read: blocks.map(() => true) };
      const reply = await cluster.call(name, { $case: 'vouch', value });
      const owned: boolean[] = [];
      for (const block of blocks) owned.push((await cluster.owners('a', block)).includes(name));
      assert.deepEqual(reply, { $case: 'vouch', value: { vouched: owned } });
    }
    const odd = await cluster.call('a', {
      $case: 'vouch',
      value: { blockIds, uploadedAt: [1], read: [false] },
    });
    assert.equal(errorCode(odd), BlockErrorCode.INVALID);
    fixture.say({ a: { mode: BlockNodeMode.DRAINING } });
    await cluster.timers.advance(1000);
    const value = { blockIds, uploadedAt: blocks.map(() => 0), read: blocks.map(() => false) };
    assert.equal(errorCode(await cluster.call('a', { $case: 'vouch', value })), BlockErrorCode.UNAVAILABLE);
    await cluster.stop();
  });
});
