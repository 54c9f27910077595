import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { collect } from '../../../src/cli/cluster-report.ts';
import { type BlockNodesReply, RaftStatus, ServerStatus } from '../../../src/gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { GrpcServer } from '../../../src/io/grpc/server.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';

const NO_STATUS = ServerStatus.decode(new Uint8Array(0));
const NO_RAFT = RaftStatus.decode(new Uint8Array(0));
/** Reserved; nothing listens there. */
const NOWHERE = '127.0.0.1:1';

const servers: GrpcServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that says this of itself, and this of the block nodes. Returns its address. */
async function serve(
  status: Partial<ServerStatus>,
  blockNodes: () => Promise<BlockNodesReply> = () => Promise.reject(new Error('no metadata here')),
): Promise<string> {
  const server = new GrpcServer({ logger: new RecordingLogger() });
  servers.push(server);
  let address = '';
  const unexpected = (): Promise<never> => Promise.reject(new Error('not asked for'));
  server.addAdmin({
    status: async () => ({ ...NO_STATUS, ...status, address, health: 'ok' }),
    changeMembers: unexpected,
    dump: unexpected,
    garbage: unexpected,
    manageBlockNodes: blockNodes,
    formation: unexpected,
  });
  address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
  return address;
}

const node = (
  id: string,
  address: string,
  mode: BlockNodeMode = BlockNodeMode.UNSPECIFIED,
): BlockNodeState => ({
  info: { id, address, capacityBytes: 10, usedBytes: 1, virtualNodes: 32 },
  alive: true,
  mode,
});

const leader = { id: 'm1', raft: { ...NO_RAFT, role: 'leader' } };
const health = async (address: string): Promise<Record<string, string>> => {
  const reports = await collect([{ id: address, address }]);
  return Object.fromEntries([...reports.values()].map((report) => [report.id, report.health]));
};

describe('the servers that status shows', () => {
  it('include those that only have blocks, also one that is down, but none that was removed', async () => {
    const b1 = await serve({ id: 'b1' });
    const nodes = [node('b1', b1), node('b2', NOWHERE), node('b3', NOWHERE, BlockNodeMode.REMOVED)];
    const value = { nodes, replicas: 3, cost: undefined };
    const m1 = await serve(leader, async () => ({ result: { $case: 'nodes', value } }));
    assert.deepEqual(await health(m1), { m1: 'ok', b1: 'ok', b2: 'down' });
  });

  it('are found from a follower too', async () => {
    const b1 = await serve({ id: 'b1' });
    const value = { nodes: [node('b1', b1)], replicas: 1, cost: undefined };
    const m1 = await serve(leader, async () => ({ result: { $case: 'nodes', value } }));
    const raft = { ...NO_RAFT, role: 'follower' };
    const m2 = await serve({ id: 'm2', raft, metaMembers: [{ id: 'm1', address: m1 }] });
    assert.deepEqual(await health(m2), { m2: 'ok', m1: 'ok', b1: 'ok' });
  });

  it('are those that are known otherwise when the leader does not tell', async () => {
    const m1 = await serve(leader);
    assert.deepEqual(await health(m1), { m1: 'ok' });
  });
});
