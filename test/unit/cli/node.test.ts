import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { type ClusterCalls, ClusterClient } from '../../../src/cli/commands/cluster.ts';
import { NodeClient, type NodeReport, reportsOf } from '../../../src/cli/commands/node.ts';
import { type BlockNodesReply, RaftStatus, ServerStatus } from '../../../src/gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';

const NO_STATUS = ServerStatus.decode(new Uint8Array(0));
const NO_RAFT = RaftStatus.decode(new Uint8Array(0));
type Result = NonNullable<BlockNodesReply['result']>;

function state(id: string, more: Partial<BlockNodeState> = {}): BlockNodeState {
  const info = { id, address: `${id}:1`, capacityBytes: 10, usedBytes: 1, virtualNodes: 32 };
  return { info, alive: true, ...more };
}

const draining = (blocksLeft: number, done = false): BlockNodeState =>
  state('s4', { mode: BlockNodeMode.DRAINING, drain: { blocksLeft, bytesLeft: blocksLeft * 10, done } });
const answer = (...nodes: BlockNodeState[]): Result => ({
  $case: 'nodes',
  value: { nodes, replicas: 3, cost: undefined },
});

/** A leader whose answers come one after the other, the last again and again. Time passes only in sleeps. */
function client(
  timeoutMs: number,
  ...answers: (Result | Error)[]
): { client: NodeClient; asked: () => number } {
  let nowMs = 0;
  let asked = 0;
  const calls: ClusterCalls = {
    fetchStatus: async (address) => ({
      ...NO_STATUS,
      id: 's1',
      address,
      raft: { ...NO_RAFT, role: 'leader', term: 1, voters: ['s1'] },
    }),
    changeMembers: () => Promise.reject(new Error('not asked for')),
    nowMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
  const call = async (): Promise<BlockNodesReply> => {
    const next = answers[Math.min(asked, answers.length - 1)];
    asked++;
    if (next instanceof Error) throw next;
    return { result: next };
  };
  return {
    client: new NodeClient(new ClusterClient(['s1:1'], timeoutMs, calls), call),
    asked: () => asked,
  };
}

const failure = (pattern: RegExp) => (error: unknown) =>
  error instanceof CliError && pattern.test(`${error.message} ${error.hint ?? ''}`);
const change = { id: 's4', mode: BlockNodeMode.DRAINING, force: false };

describe('a client of the registry of block nodes', () => {
  it('asks again after a lost connection, a change of leader, and what can be tried again', async () => {
    const { client: nodes, asked } = client(
      10_000,
      new Error('connection lost'),
      { $case: 'notLeader', value: { id: 's2', address: '' } },
      { $case: 'retry', value: 'later' },
      answer(draining(3)),
    );
    assert.equal((await nodes.change(change)).nodes.length, 1);
    assert.equal(asked(), 4);
  });

  it('reports a refusal at once with what to do, and at its deadline why it had to wait', async () => {
    const refusal = client(10_000, { $case: 'refused', value: { reason: 'too few', hint: 'add one' } });
    await assert.rejects(refusal.client.change(change), failure(/too few add one/));
    assert.equal(refusal.asked(), 1);
    await assert.rejects(
      client(1_000, { $case: 'retry', value: 'not all know' }).client.change(change),
      failure(/gave up waiting: not all know/),
    );
    const old = { client: client(1_000, undefined as unknown as Result).client };
    await assert.rejects(old.client.list(), failure(/older than this command/));
  });

  it('waits until a node is drained, as long as something moves', async () => {
    const steps = Array.from({ length: 60 }, (_, i) => answer(draining(60 - i)));
    const seen: (number | undefined)[] = [];
    const { client: nodes } = client(1_000, ...steps, answer(draining(0)), answer(draining(0, true)));
    const result = await nodes.drained('s4', (node: NodeReport) => void seen.push(node.left?.blocks));
    assert.equal(seen.length, 61);
    assert.deepEqual(seen.slice(-3), [2, 1, 0]);
    assert.deepEqual(
      reportsOf(result).map(({ mode }) => mode),
      ['drained'],
    );
  });

  it('gives up when nothing moves, or the node is taken back', async () => {
    const ignore = (): void => {};
    await assert.rejects(
      client(1_000, answer(draining(5))).client.drained('s4', ignore),
      failure(/goes on handing over its blocks by itself/),
    );
    await assert.rejects(
      client(1_000, answer({ ...draining(5), alive: false })).client.drained('s4', ignore),
      failure(/s4 does not answer/),
    );
    await assert.rejects(
      client(1_000, answer(state('s4'))).client.drained('s4', ignore),
      failure(/does not drain any more/),
    );
  });

  it('names the states of nodes, in the order of their names', () => {
    const nodes = [state('s10', { mode: BlockNodeMode.REMOVED, alive: false }), draining(2), state('s2')];
    const reports = reportsOf({ nodes, replicas: 3, cost: undefined });
    assert.deepEqual(
      reports.map(({ id, mode, left }) => [id, mode, left?.blocks]),
      [
        ['s2', 'active', undefined],
        ['s4', 'draining', 2],
        ['s10', 'removed', undefined],
      ],
    );
  });
});
