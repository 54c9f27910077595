import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fromHex } from '../../src/base/bytes.ts';
import { BlockServer } from '../../src/block/block-server.ts';
import type { BlockReply, BlockRequest } from '../../src/gen/ringfs/v1/block.ts';
import { blockConnector } from '../../src/io/grpc/connectors.ts';
import { GrpcServer } from '../../src/io/grpc/server.ts';
import { jitterRandom, systemRandom } from '../../src/io/os/system-random.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import { openRocksKv } from '../../src/io/rocksdb/rocks-kv.ts';
import { localSegmentFiles } from '../../src/io/segments/files.ts';
import { openSegmentStore } from '../../src/io/segments/segment-store.ts';
import type { BlockStore } from '../../src/ports/block-store.ts';
import type { RpcConnection } from '../../src/ports/rpc.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { blockIdOf, type TestBlock, testBlock } from '../support/test-blocks.ts';
import { freePorts } from '../support/test-cluster.ts';

interface RealNode {
  readonly name: string;
  readonly address: string;
  readonly server: BlockServer;
  readonly grpc: GrpcServer;
  readonly store: BlockStore;
}

const timers = new SystemTimers();

async function startNode(
  folder: string,
  name: string,
  address: string,
  seeds: readonly string[],
): Promise<RealNode> {
  const logger = new RecordingLogger();
  const store = await openSegmentStore(
    {
      files: localSegmentFiles(join(folder, name, 'segments')),
      kv: await openRocksKv(join(folder, name, 'index')),
      timers,
      random: systemRandom,
      logger,
    },
    { clusterId: 'real', nodeId: name },
  );
  const server = new BlockServer(
    { store, connector: blockConnector(), timers, random: jitterRandom(), logger },
    { nodeId: name, address, clusterId: 'real', seeds: () => seeds },
  );
  const grpc = new GrpcServer({ logger });
  grpc.addBlock(server.acceptor);
  await grpc.listen(address);
  server.start();
  return { name, address, server, grpc, store };
}

/** As a dying process does: nobody is told. */
async function kill(node: RealNode): Promise<void> {
  node.grpc.close();
  await node.server.stop();
  await node.store.close();
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await timers.sleep(20);
}

async function put(connection: RpcConnection<BlockRequest, BlockReply>, block: TestBlock): Promise<void> {
  const value = { blockId: fromHex(block.id), data: block.data, replicate: true };
  const reply = await connection.call({ $case: 'put', value });
  assert.ok(reply.$case === 'put' && reply.value.durableCopies >= 2, JSON.stringify(reply));
}

describe('block ring over gRPC, segments and RocksDB', () => {
  it('three nodes store, lose one, go on, and bring it up to date when it is back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'block-ring-'));
    const names = ['a', 'b', 'c'];
    const basePort = await freePorts(names.length);
    const addresses = names.map((_, i) => `127.0.0.1:${basePort + i}`);
    const nodes = await Promise.all(
      names.map((name, i) => startNode(folder, name, addresses[i]!, addresses)),
    );
    const ringIs = (count: number) => (): boolean =>
      nodes.every((n) => n.server.joined && n.server.ringNodes().length === count);
    try {
      await until(ringIs(3));
      const client = await blockConnector().connect(addresses[0]!);
      const blocks = Array.from({ length: 40 }, (_, i) => testBlock(i + 1, 1 + i * 20_000));
      await Promise.all(blocks.slice(0, 20).map((block) => put(client, block)));
      await kill(nodes.pop()!);
      await Promise.all(blocks.slice(20).map((block) => put(client, block)));
      await until(ringIs(2));
      nodes.push(await startNode(folder, 'c', addresses[2]!, addresses));
      await until(ringIs(3));
      await until(async () => (await nodes[2]!.store.stats()).blocks === blocks.length);
      for (const block of blocks) {
        const data = await nodes[2]!.store.get(block.id);
        assert.equal(data === undefined ? undefined : blockIdOf(data), block.id);
      }
      client.close();
    } finally {
      for (const node of nodes) await kill(node);
      await rm(folder, { recursive: true, force: true });
    }
  });
});
