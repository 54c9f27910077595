import Table from 'cli-table3';
import type { BlockNodes, BlockNodesReply, ChangeBlockNode, RemovalCost } from '../../gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../../gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../../gen/ringfs/v1/namespace.ts';
import { requestBlockNodes } from '../../io/grpc/admin-client.ts';
import { CliError } from '../cli-error.ts';
import { modeName, type NodeMode } from '../node-mode.ts';
import { ProgressBar } from '../progress-bar.ts';
import { parseServerId } from '../values.ts';
import { type ClusterClient, type ClusterFlags, clientOf } from './cluster.ts';
import { bytes } from './status.ts';

const LOOK_TIMEOUT_MS = 3_000;
/** A removal asks all other nodes about all blocks. */
const CHANGE_TIMEOUT_MS = 600_000;

export interface NodeFlags extends ClusterFlags {
  /** --no-wait: false. */
  readonly wait?: boolean;
}

/** A block node as operators see it. */
export interface NodeReport {
  readonly id: string;
  readonly address: string;
  readonly domain: string | null;
  readonly mode: NodeMode;
  readonly alive: boolean;
  readonly virtualNodes: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  /** Of a draining node, once it has said so. */
  readonly left: { readonly blocks: number; readonly bytes: number } | null;
}

export type ManageCall = (
  address: string,
  change: ChangeBlockNode | undefined,
  timeoutMs: number,
) => Promise<BlockNodesReply>;

/** Block nodes as the metadata leader has them. Throws CliError. */
export class NodeClient {
  readonly #client: ClusterClient;
  readonly #call: ManageCall;

  constructor(client: ClusterClient, call: ManageCall = requestBlockNodes) {
    this.#client = client;
    this.#call = call;
  }

  list(): Promise<BlockNodes> {
    return this.#manage(undefined, LOOK_TIMEOUT_MS);
  }

  change(change: ChangeBlockNode): Promise<BlockNodes> {
    return this.#manage(change, CHANGE_TIMEOUT_MS);
  }

  /** Waits until `id` has handed over its blocks, telling `onWait` of it. Gives up when nothing moves for the client's timeout. */
  async drained(id: string, onWait: (node: NodeReport) => void): Promise<BlockNodes> {
    let before = '';
    for (;;) {
      const nodes = await this.list();
      const node = reportsOf(nodes).find((other) => other.id === id);
      if (node === undefined || node.mode === 'active' || node.mode === 'removed')
        throw new CliError(`${id} does not drain any more`, 'see: ringfs node list');
      if (node.mode === 'drained') return nodes;
      const state = JSON.stringify([node.alive, node.left]);
      if (state !== before) this.#client.progressed();
      before = state;
      onWait(node);
      await this.#client.pause(
        node.alive ? `${id} goes on handing over its blocks by itself` : `${id} does not answer`,
      );
    }
  }

  #manage(change: ChangeBlockNode | undefined, timeoutMs: number): Promise<BlockNodes> {
    return this.#client.ask(async (address) => {
      const { result } = await this.#call(address, change, timeoutMs);
      switch (result?.$case) {
        case 'nodes':
          return { done: result.value };
        case 'refused':
          throw new CliError(result.value.reason, result.value.hint);
        case 'retry':
          return { retry: result.value };
        case 'notLeader':
          return { retry: 'the leader has just changed' };
        case undefined:
          throw new CliError('the server is older than this command', 'update it');
      }
    });
  }
}

export function reportsOf({ nodes }: BlockNodes): NodeReport[] {
  return nodes.map(reportOf).sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
}

function reportOf({ info, alive, mode, drain }: BlockNodeState): NodeReport {
  const draining = mode === BlockNodeMode.DRAINING;
  return {
    id: info?.id ?? '',
    address: info?.address ?? '',
    domain: info?.domain ?? null,
    mode: modeName(mode, drain?.done === true),
    alive,
    virtualNodes: info?.virtualNodes ?? 0,
    capacityBytes: info?.capacityBytes ?? 0,
    usedBytes: info?.usedBytes ?? 0,
    left: draining && drain !== undefined ? { blocks: drain.blocksLeft, bytes: drain.bytesLeft } : null,
  };
}

function print(flags: NodeFlags, nodes: BlockNodes, line: string): void {
  const reports = reportsOf(nodes);
  const { cost } = nodes;
  if (flags.json === true) {
    process.stdout.write(
      `${JSON.stringify({ replicas: nodes.replicas, nodes: reports, ...(cost === undefined ? {} : { cost }) }, null, 2)}\n`,
    );
    return;
  }
  const head = ['block node', 'address', 'domain', 'state', 'answers', 'used', 'capacity', 'to hand over'];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const node of reports) {
    table.push([
      node.id,
      node.address,
      node.domain ?? '-',
      node.mode,
      node.alive ? 'yes' : 'no',
      bytes(node.usedBytes),
      bytes(node.capacityBytes),
      node.left === null ? '-' : leftOf(node),
    ]);
  }
  process.stdout.write(`${table.toString()}\n${line}\n`);
}

function leftOf({ left }: NodeReport): string {
  if (left === null) return 'not known yet';
  return `${left.blocks} ${left.blocks === 1 ? 'block' : 'blocks'} (${bytes(left.bytes)})`;
}

export async function runNodeList(flags: NodeFlags): Promise<void> {
  const nodes = await new NodeClient(clientOf(flags)).list();
  const taking = reportsOf(nodes).filter((node) => node.mode === 'active' && node.alive);
  print(flags, nodes, `${taking.length} living nodes take blocks, ${nodes.replicas} copies of each`);
}

export async function runNodeDrain(name: string, flags: NodeFlags): Promise<void> {
  const id = parseServerId(name, 'ID');
  const client = new NodeClient(clientOf(flags));
  const force = flags.force === true;
  let nodes = await client.change({ id, mode: BlockNodeMode.DRAINING, force });
  if (flags.wait === false) {
    print(flags, nodes, `${id} hands over its blocks; how far it is: ringfs node list`);
    return;
  }
  const bar = new ProgressBar({ quiet: flags.json === true, lines: true });
  let total = 0;
  const show = (node: NodeReport): void => {
    const left = node.left?.blocks ?? 0;
    // Files that are written meanwhile add to it.
    total = Math.max(total, left);
    bar.show(
      total - left,
      total,
      `${id}: to hand over: ${leftOf(node)}${node.alive ? '' : ', but it does not answer'}`,
    );
  };
  nodes = await client.drained(id, show).finally(() => bar.end());
  print(flags, nodes, `${id} has handed over all blocks: stop it, then: ringfs node remove ${id}`);
}

export async function runNodeAdd(name: string, flags: NodeFlags): Promise<void> {
  const id = parseServerId(name, 'ID');
  const nodes = await new NodeClient(clientOf(flags)).change({
    id,
    mode: BlockNodeMode.UNSPECIFIED,
    force: false,
  });
  const alive = reportsOf(nodes).find((node) => node.id === id)?.alive === true;
  print(flags, nodes, alive ? `${id} takes blocks` : `${id} takes blocks as soon as it is started`);
}

export async function runNodeRemove(name: string, flags: NodeFlags): Promise<void> {
  const id = parseServerId(name, 'ID');
  const force = flags.force === true;
  const nodes = await new NodeClient(clientOf(flags)).change({ id, mode: BlockNodeMode.REMOVED, force });
  warn(id, nodes.cost);
  print(flags, nodes, `${id} was removed; its process can be stopped`);
}

function warn(id: string, cost: RemovalCost | undefined): void {
  if (cost === undefined) return;
  const { lostBlocks, lostBytes, thinBlocks, thinBytes } = cost;
  if (lostBlocks > 0) {
    process.stderr.write(
      `ringfs: warning: ${lostBlocks} blocks (${bytes(lostBytes)}) that files refer to are lost without ${id}\n`,
    );
  }
  if (thinBlocks > 0) {
    process.stderr.write(
      `ringfs: ${thinBlocks} blocks (${bytes(thinBytes)}) have fewer copies than they should; repair makes them\n`,
    );
  }
}
