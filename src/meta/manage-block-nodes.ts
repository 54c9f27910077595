import { takesBlocks } from '../core/namespace/block-nodes.ts';
import type {
  BlockNodesReply,
  BlockNodesRequest,
  ChangeBlockNode,
  RemovalCost,
} from '../gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../gen/ringfs/v1/namespace.ts';
import type { BlockNodeRegistry } from './block-node-registry.ts';
import { type HasCopies, removalCost } from './removal-cost.ts';
import { isPassing, type Replica } from './replica.ts';

export interface ManageBlockNodesComponents {
  readonly replica: Pick<Replica, 'state' | 'readBarrier' | 'leader'>;
  readonly registry: BlockNodeRegistry;
  readonly hasCopies: HasCopies;
  /** Of the cluster. */
  readonly replicas: number;
  readonly signal: AbortSignal;
}

type Result = NonNullable<BlockNodesReply['result']>;

/** Why a change is not made, for a person. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly hint: string;
  constructor(reason: string, hint: string) {
    super(reason);
    this.hint = hint;
  }
}

/** A change that another try may make. */
class NotNow extends Error {
  override readonly name = 'NotNow';
}

/** Answers an operator's question about block nodes, after a change if one is asked for. Rejects with what nobody expects. */
export async function manageBlockNodes(
  components: ManageBlockNodesComponents,
  { change }: BlockNodesRequest,
): Promise<Result> {
  const { registry, replicas, replica } = components;
  try {
    const cost = change === undefined ? undefined : await carryOut(components, change);
    const nodes = await registry.states();
    return { $case: 'nodes', value: { nodes, replicas, cost } };
  } catch (error) {
    if (error instanceof Refusal)
      return { $case: 'refused', value: { reason: error.message, hint: error.hint } };
    if (error instanceof NotNow) return { $case: 'retry', value: error.message };
    if (!isPassing(error)) throw error;
    const leader = replica.leader();
    return { $case: 'notLeader', value: { id: leader?.id ?? '', address: leader?.address ?? '' } };
  }
}

async function carryOut(
  components: ManageBlockNodesComponents,
  change: ChangeBlockNode,
): Promise<RemovalCost | undefined> {
  const { registry } = components;
  const states = await registry.states();
  const node = states.find(({ info }) => info?.id === change.id);
  if (node === undefined) {
    throw new Refusal(
      `there is no block node ${change.id}`,
      'a node is known once it has been started; see: ringfs node list',
    );
  }
  if ((node.mode ?? BlockNodeMode.UNSPECIFIED) === change.mode) return undefined;
  const others = states.filter((other) => other !== node && other.mode !== BlockNodeMode.REMOVED);
  let cost: RemovalCost | undefined;
  if (change.mode === BlockNodeMode.DRAINING) checkDrain(components, node, others, change);
  if (change.mode === BlockNodeMode.REMOVED) cost = await checkRemoval(components, node, others, change);
  await registry.setMode(change.id, change.mode);
  return cost;
}

function checkDrain(
  { replicas }: ManageBlockNodesComponents,
  node: BlockNodeState,
  others: readonly BlockNodeState[],
  { id, force }: ChangeBlockNode,
): void {
  if (node.mode === BlockNodeMode.REMOVED)
    throw new Refusal(`${id} was removed`, `take it back first: ringfs node add ${id}`);
  checkLeft(replicas, others, force);
  if (!node.alive && !force) {
    throw new Refusal(
      `${id} does not answer, so it cannot hand over its blocks`,
      `start it, or remove it: ringfs node remove ${id}`,
    );
  }
}

function checkLeft(replicas: number, others: readonly BlockNodeState[], force: boolean): void {
  const left = others.filter((other) => takesBlocks(other) && other.alive).length;
  if (left === 0) throw new Refusal('no other living block node takes blocks', 'add one first');
  if (left >= replicas || force) return;
  throw new Refusal(
    `only ${left} of the living block nodes would take blocks, for ${replicas} copies of each`,
    `add a node first, or go on with fewer copies: --force`,
  );
}

async function checkRemoval(
  components: ManageBlockNodesComponents,
  node: BlockNodeState,
  others: readonly BlockNodeState[],
  { id, force }: ChangeBlockNode,
): Promise<RemovalCost> {
  const draining = node.mode === BlockNodeMode.DRAINING;
  if (!force && node.alive && !draining) {
    throw new Refusal(
      `${id} is alive and takes blocks`,
      `have it hand over its blocks first: ringfs node drain ${id}; or drop its copies: --force`,
    );
  }
  // It takes none any more, so those that are left were looked at when it began to drain.
  if (!draining) checkLeft(components.replicas, others, force || !node.alive);
  if (!force && node.alive && node.agreed !== true)
    throw new NotNow(`not every block node knows yet that ${id} drains`);
  const cost = await costOf(components, others);
  if (!force && cost.lostBlocks > 0) {
    throw new Refusal(
      `${count(cost.lostBlocks, cost.lostBytes)} that files refer to would be lost: no other living node has them`,
      node.alive
        ? `wait until they are handed over: ringfs node drain ${id}; or lose them: --force`
        : `start ${id} again and drain it, or lose them: --force`,
    );
  }
  if (!force && node.alive && cost.thinBlocks > 0) {
    const why = `${count(cost.thinBlocks, cost.thinBytes)} have too few other copies`;
    // A block that was just written is acknowledged with a majority of its copies: the others are on their way.
    if (node.drain?.done === true) throw new NotNow(why);
    throw new Refusal(
      why,
      `wait until they are handed over: ringfs node drain ${id}; or remove it now: --force`,
    );
  }
  return cost;
}

async function costOf(
  { replica, hasCopies, replicas, signal }: ManageBlockNodesComponents,
  others: readonly BlockNodeState[],
): Promise<RemovalCost> {
  await replica.readBarrier();
  const living = others.filter((other) => other.alive);
  try {
    return await removalCost({ state: replica.state, hasCopies }, living, replicas, signal);
  } catch (error) {
    if (isPassing(error) || signal.aborted) throw signal.aborted ? signal.reason : error;
    throw new NotNow(`the other block nodes could not be asked what they have: ${(error as Error).message}`);
  }
}

function count(blocks: number, bytes: number): string {
  return `${blocks} ${blocks === 1 ? 'block' : 'blocks'} (${bytes} bytes)`;
}
