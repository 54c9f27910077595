import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../src/base/random.ts';
import { BlockClient, type BlockClientOptions } from '../../../src/client/block-client.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { type TestBlock, testBlock, testBlocks } from '../../support/test-blocks.ts';

const NAMES = ['n1', 'n2', 'n3', 'n4', 'n5'];

interface Rig {
  readonly cluster: BlockCluster;
  readonly client: BlockClient;
  put(block: TestBlock): Promise<void>;
  get(block: TestBlock): Promise<void>;
  close(): Promise<void>;
}

async function rig(names: string[] = NAMES, options: Partial<BlockClientOptions> = {}): Promise<Rig> {
  const cluster = new BlockCluster();
  cluster.start(...names);
  await cluster.untilRing(names);
  await cluster.timers.advance(5_000); // successor lists settle
  const client = new BlockClient(
    {
      connector: cluster.network.connector('client'),
      timers: cluster.timers,
      random: seededRandom(5),
      logger: new RecordingLogger(),
      nodes: async () => [...cluster.nodes.values()].map((n) => n.address),
      seenIndex: () => 7,
    },
    { clientName: 'test', clusterId: 'test', cacheBytes: 0, ...options },
  );
  return {
    cluster,
    client,
    put: async (block) => {
      assert.equal(await cluster.timers.resolve(client.put(block.data)), block.id);
    },
    get: async (block) => {
      assert.deepEqual(new Uint8Array(await cluster.timers.resolve(client.get(block.id))), block.data);
    },
    close: async () => {
      await client.close();
      await cluster.stop();
    },
  };
}

describe('block client and the real ring', () => {
  it('stores on a quorum of owners and reads back', async () => {
    const { cluster, client, put, get, close } = await rig();
    for (const block of testBlocks(40)) {
      await put(block);
      assert.ok(cluster.holders(block).length >= 2);
      await get(block);
    }
    assert.equal(client.stats().putRetries, 0);
    assert.ok(client.stats().ringLookups <= NAMES.length * 8);
    await close();
  });

  it('works with one node', async () => {
    const { put, get, close } = await rig(['n1']);
    await put(testBlock(1));
    await get(testBlock(1));
    await close();
  });

  it('reads another copy when one is corrupt, and the bad one is replaced', async () => {
    const { cluster, client, put, get, close } = await rig();
    const block = testBlock(1);
    await put(block);
    await cluster.timers.until(() => cluster.holders(block).length === 3, 10_000, 'three copies');
    let damaged: string | undefined;
    cluster.network.onDeliver = (m) => {
      if (m.kind === 'request' && m.from === 'client' && m.body.$case === 'get' && damaged === undefined) {
        damaged = m.to.split(':')[0]!;
        cluster.node(damaged).store.corrupt(block.id);
      }
      return true;
    };
    await get(block);
    assert.equal(client.stats().copiesCorrupt, 1);
    const store = cluster.node(damaged!).store;
    await cluster.timers.until(
      () => Buffer.from(store.blocks.get(block.id) ?? []).equals(block.data),
      10_000,
      'repair',
    );
    await cluster.timers.until(() => client.stats().repairs === 1, 1_000, 'answer');
    await close();
  });

  it('goes on while two of five nodes die, and when others join', async () => {
    const { cluster, put, get, close } = await rig();
    const blocks = testBlocks(60);
    for (const block of blocks.slice(0, 20)) await put(block);
    for (const block of blocks.slice(0, 20)) {
      await cluster.timers.until(() => cluster.holders(block).length >= 3, 10_000, 'three copies');
    }
    await cluster.kill('n2');
    await cluster.kill('n4');
    for (const block of blocks.slice(0, 20)) await get(block);
    for (const block of blocks.slice(20, 40)) await put(block);
    cluster.start('n6', 'n7');
    for (const block of blocks.slice(40)) await put(block);
    await cluster.untilRing(['n1', 'n3', 'n5', 'n6', 'n7'], 30_000);
    for (const block of blocks) await get(block);
    await close();
  });

  it('reports ENOSPC when the ring is full', async () => {
    const { cluster, client, close } = await rig();
    for (const node of cluster.nodes.values()) node.store.capacityBytes = 0;
    await assert.rejects(
      cluster.timers.resolve(client.put(testBlock(1).data)),
      (e: unknown) => (e as { code?: string }).code === 'ENOSPC',
    );
    await close();
  });
});
