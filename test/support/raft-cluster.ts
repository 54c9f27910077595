import type { ServerId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import { type ConfChange, encodeConfChange, NO_MEMBERS } from '../../src/core/raft/conf-change.ts';
import { createMessage } from '../../src/core/raft/messages.ts';
import { RawNode } from '../../src/core/raft/raw-node.ts';
import type {
  ProposeConfChangeResult,
  RaftConfig,
  RaftInitialState,
  Ready,
} from '../../src/core/raft/types.ts';
import {
  EntryType,
  type RaftConfState,
  type RaftEntry,
  type RaftMessage,
  RaftMessageType,
} from '../../src/gen/ringfs/v1/raft.ts';

export const ELECTION_TICKS = 10;
export const HEARTBEAT_TICKS = 2;

export function confState(voters: readonly string[], learners: readonly string[] = []): RaftConfState {
  return { ...NO_MEMBERS, voters: [...voters], learners: [...learners] };
}

export function entry(index: number, term: number, text = ''): RaftEntry {
  const data = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return { index, term, type: EntryType.NORMAL, data };
}

/** A message with some fields set. */
export function message(
  type: RaftMessageType,
  from: string,
  to: string,
  term: number,
  fields: Partial<RaftMessage> = {},
): RaftMessage {
  return { ...createMessage(type, from as ServerId, to as ServerId, term), ...fields };
}

export interface NodeOptions {
  readonly config?: Partial<RaftConfig>;
  readonly initial?: Partial<RaftInitialState>;
}

export function createNode(id: string, conf: RaftConfState, options: NodeOptions = {}): RawNode {
  const config: RaftConfig = {
    id: id as ServerId,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    appendBytesMax: 1000,
    inflightMax: 4,
    uncommittedBytesMax: 10_000,
    random: seededRandom(id.charCodeAt(id.length - 1)),
    ...options.config,
  };
  return new RawNode(config, {
    hardState: { term: 0, votedFor: undefined, commit: 0 },
    snapshot: { index: 0, term: 0, confState: conf },
    entries: [],
    applied: 0,
    confState: conf,
    ...options.initial,
  });
}

/** One Ready from start to end; undefined when there is none. */
export function turn(node: RawNode): Ready | undefined {
  if (!node.hasReady()) return undefined;
  const ready = node.ready();
  for (const each of ready.committedEntries) {
    if (each.type === EntryType.CONF_CHANGE) node.applyConfChange(each.data);
  }
  node.advance(ready);
  return ready;
}

/** Turns until nothing is left to do; all messages that came out. */
export function drain(node: RawNode): RaftMessage[] {
  const messages: RaftMessage[] = [];
  for (let ready = turn(node); ready !== undefined; ready = turn(node)) messages.push(...ready.messages);
  return messages;
}

export function tickTimes(node: RawNode, times: number): void {
  for (let i = 0; i < times; i++) node.tick();
}

/** Replicas whose messages arrive at once, unless a filter drops them. */
export class TestCluster {
  readonly nodes = new Map<string, RawNode>();
  readonly applied = new Map<string, RaftEntry[]>();
  readonly reads = new Map<string, Map<number, number | undefined>>();
  readonly delivered: RaftMessage[] = [];
  drop: (message: RaftMessage) => boolean = () => false;

  constructor(ids: readonly string[], conf = confState(ids), options: NodeOptions = {}) {
    for (const id of ids) this.add(id, createNode(id, conf, options));
  }

  add(id: string, node: RawNode): void {
    this.nodes.set(id, node);
    this.applied.set(id, []);
    this.reads.set(id, new Map());
  }

  node(id: string): RawNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Runs until nobody has anything to say. SNAPSHOT messages become snapshots installed at once. */
  settle(): void {
    let busy = true;
    while (busy) {
      busy = false;
      for (const [id, node] of this.nodes) {
        const ready = turn(node);
        if (ready === undefined) continue;
        busy = true;
        this.applied.get(id)!.push(...ready.committedEntries);
        for (const { context, index } of ready.readStates) this.reads.get(id)!.set(context, index);
        for (const each of ready.messages) this.#deliver(node, each);
      }
    }
  }

  tick(times = 1): void {
    for (let i = 0; i < times; i++) {
      for (const node of this.nodes.values()) node.tick();
      this.settle();
    }
  }

  elect(id: string): RawNode {
    const node = this.node(id);
    node.campaign();
    this.settle();
    if (node.status().role !== 'leader') throw new Error(`${id} was not elected`);
    return node;
  }

  changeMembers(leader: string, change: ConfChange): ProposeConfChangeResult {
    const result = this.node(leader).proposeConfChange(encodeConfChange(change));
    this.settle();
    return result;
  }

  texts(id: string): string[] {
    return this.applied
      .get(id)!
      .filter((each) => each.type === EntryType.NORMAL && each.data.length > 0)
      .map((each) => String.fromCharCode(...each.data));
  }

  isolate(id: string): void {
    this.drop = (m) => m.from === id || m.to === id;
  }

  #deliver(sender: RawNode, each: RaftMessage): void {
    if (this.drop(each)) return;
    this.delivered.push(each);
    const target = this.nodes.get(each.to);
    if (each.type !== RaftMessageType.SNAPSHOT) {
      target?.step(each);
      return;
    }
    const { applied, confState: conf } = sender.status();
    const ok = target?.restoreSnapshot(sender.snapshotMetaAt(applied, conf)) ?? false;
    sender.reportSnapshot(each.to as ServerId, ok);
  }
}
