import { TABLE } from '../../../src/core/namespace/keys.ts';
import { F_UNLCK } from '../../../src/core/namespace/ops/lock.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import { Command, type Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import {
  type RaftEntry,
  type RaftMessage,
  RaftMessageType,
  type SnapshotPart,
} from '../../../src/gen/ringfs/v1/raft.ts';
import { encodeSnapshot, type Row, readHeader, readRows } from '../../../src/meta/raft/snapshot-stream.ts';
import { type Applied, NotLeaderError, type Replica } from '../../../src/meta/replica.ts';
import type { AskLeader } from '../../../src/meta/unleased-reads.ts';
import type { KvWrite } from '../../../src/ports/kv-store.ts';
import type { RpcConnection, RpcConnector } from '../../../src/ports/rpc.ts';
import type { SimDisk } from './disk.ts';
import type { Breakable } from './faults.ts';
import { figure8, ownEntriesLost } from './figure-8.ts';
import type { LinkTampering } from './links.ts';
import type { SimWorld } from './world.ts';

/** For so long a leader that has been deposed goes on to answer reads. */
const OVERSTAY_MS = 3_000;

type Connector = RpcConnector<MetaRequest, MetaReply>;

/** A mistake planted between the parts of the product; the parts themselves know nothing of it. */
export interface Mutation {
  links?(world: SimWorld): LinkTampering;
  /** What breaks, instead of what luck would break. */
  faults?(target: Breakable): void;
  disk?(disk: SimDisk, server: string): void;
  replica?(replica: Replica, world: SimWorld): Replica;
  /** How followers ask the leader for the right to answer reads. */
  points?(ask: AskLeader): AskLeader;
  connector?(connector: Connector): Connector;
}

/** Everything of `replica` but what `changes` has. */
function changed(replica: Replica, changes: Partial<Replica>): Replica {
  return new Proxy(replica, {
    get(target, name) {
      const value: unknown = Reflect.get(changes, name) ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A snapshot without some rows, with a checksum that is right for the others, from a sender that keeps no hash of its rows. */
async function* withoutRows(
  parts: AsyncIterable<SnapshotPart>,
  drop: (row: Row, at: number) => boolean,
): AsyncIterableIterator<SnapshotPart> {
  const iterator = parts[Symbol.asyncIterator]();
  const header = await readHeader(iterator);
  if (header.meta !== undefined) header.meta.stateHash = undefined;
  const rows: Row[] = [];
  await readRows(iterator, async (some) => void rows.push(...some));
  const kept = rows.filter((row, at) => !drop(row, at));
  async function* all(): AsyncIterableIterator<Row> {
    yield* kept;
  }
  yield* encodeSnapshot(header, all());
}

/** The leader tells a follower that what it has of an earlier term is committed: with the leader's own copy that is a majority of three. */
function commitOldTerms(world: SimWorld): LinkTampering {
  /** By leader, term and follower. */
  const matches = new Map<string, number>();
  const terms = new Map<number, number>();
  return {
    outgoing(message) {
      const { type, from, to, term, commit } = message;
      for (const entry of message.entries) terms.set(entry.index, entry.term);
      if (type === RaftMessageType.APPEND_RESPONSE && !message.reject) {
        matches.set(`${to}:${term}:${from}`, message.index);
      }
      if (type !== RaftMessageType.HEARTBEAT) return [message];
      const match = matches.get(`${from}:${term}:${to}`) ?? 0;
      if (match <= commit || (terms.get(match) ?? term) >= term) return [message];
      world.trace(`${from} tells ${to} that ${match} is committed`);
      return [{ ...message, commit: match }];
    },
  };
}

/** A leader that has been deposed answers reads for some time as if nothing had happened. */
function overstay(replica: Replica, world: SimWorld): Replica {
  let deposedMs = Number.NEGATIVE_INFINITY;
  const leads = (): boolean => replica.isLeader() || world.nowMs - deposedMs < OVERSTAY_MS;
  return changed(replica, {
    isLeader: leads,
    readBarrier: async () => {
      if (!leads()) throw new NotLeaderError(undefined);
    },
    onRoleChange: (listener) => {
      replica.onRoleChange((role, term) => {
        if (role === 'leader') return listener(role, term);
        deposedMs = world.nowMs;
        world.queue.after(OVERSTAY_MS, () => {
          if (!leads()) listener(role, term);
        });
      });
    },
  });
}

function inSequence(first: LinkTampering, second: LinkTampering): LinkTampering {
  return {
    outgoing: (message) =>
      (first.outgoing?.(message) ?? [message]).flatMap((m) => [...(second.outgoing?.(m) ?? [m])]),
  };
}

/** Whoever gets an entry is told that it is committed. */
const commitAtOnce: LinkTampering = {
  outgoing(message) {
    if (message.type !== RaftMessageType.APPEND || message.entries.length === 0) return [message];
    return [{ ...message, commit: message.index + message.entries.length }];
  },
};

/** One server gets one entry with another content: its memory has a flipped bit. */
function alterEntry(server: string): LinkTampering {
  const altered = new Map<number, RaftEntry>();
  const alter = (entry: RaftEntry): RaftEntry => {
    const known = altered.get(entry.index);
    if (known?.term === entry.term) return known;
    const { body } = Command.decode(entry.data);
    const op = body?.$case === 'commit' ? body.value.ops[0]?.body : undefined;
    if (altered.size > 0 || op?.$case !== 'makeNode') return entry;
    op.value.uid ^= 1;
    const other = { ...entry, data: Command.encode({ body }).finish() };
    altered.set(entry.index, other);
    return other;
  };
  return {
    outgoing(message) {
      if (message.type !== RaftMessageType.APPEND || message.to !== server) return [message];
      return [{ ...message, entries: message.entries.map(alter) }];
    },
  };
}

/** A disk that loses the row of one inode, once. */
function loseRow(disk: SimDisk): void {
  let left = 12;
  disk.alter = (batch) => {
    const isInode = (write: KvWrite): boolean => write.type === 'put' && write.key[0] === TABLE.inode;
    if (left === 0 || !batch.some(isInode)) return batch;
    left -= 1;
    return left === 0 ? batch.filter((write) => !isInode(write)) : batch;
  };
}

/** Proposes what `again` picks once more, under a number that it was not sent with. */
function proposeTwice(
  replica: Replica,
  world: SimWorld,
  again: (op: Op) => boolean,
  delayMs: number,
): Replica {
  const propose = async (
    how: (command: Uint8Array) => Promise<Applied>,
    bytes: Uint8Array,
  ): Promise<Applied> => {
    const { body } = Command.decode(bytes);
    if (body?.$case === 'commit' && body.value.ops.some(again)) {
      const value = { ...body.value, sequence: body.value.sequence + 200 };
      const copy = Command.encode({ body: { $case: 'commit', value } }).finish();
      world.queue.after(delayMs, () => {
        how(copy).catch(() => undefined);
      });
    }
    return await how(bytes);
  };
  return changed(replica, {
    propose: (command) => propose((bytes) => replica.propose(bytes), command),
    decide: (command) => propose((bytes) => replica.decide(bytes), command),
  });
}

const accept = (message: RaftMessage): RaftMessage =>
  message.type === RaftMessageType.VOTE_RESPONSE || message.type === RaftMessageType.PRE_VOTE_RESPONSE
    ? { ...message, reject: false }
    : message;

export const MUTATIONS = {
  /** Whoever asks for a vote gets it. */
  'vote-twice': { links: () => ({ outgoing: (message) => [accept(message)] }) },
  /** The log is not synced before what depends on it is sent. */
  'answer-before-sync': {
    disk: (disk) => {
      disk.tamper = () => ({ sync: false });
    },
  },
  /** Entries are taken for committed before a majority has them. */
  'commit-early': { links: () => commitAtOnce },
  /** Entries of an earlier term are taken for committed by counting (Raft, figure 8). */
  'count-old-terms': {
    links: (world) => inSequence(ownEntriesLost(world), commitOldTerms(world)),
    faults: figure8,
  },
  /** The same trouble, without the mistake. */
  'figure-8': { links: ownEntriesLost, faults: figure8 },
  /** A snapshot lacks the answers that were given to clients. */
  'forget-answers': {
    links: () => ({ snapshot: (parts) => withoutRows(parts, ([rowKey]) => rowKey[0] === TABLE.answer) }),
  },
  /** A snapshot lacks a row. */
  'skip-row': { links: () => ({ snapshot: (parts) => withoutRows(parts, (_, at) => at === 3) }) },
  /** What one server applies is not what the others do. */
  'alter-entry': { links: () => alterEntry('s2') },
  /** What one server has on its disk is not what it wrote. */
  'lose-row': {
    disk: (disk, server) => {
      if (server === 's2') loseRow(disk);
    },
  },
  /** Reads wait for nothing: neither for what was answered and is not in the state yet, nor to hear whether this still leads. The disk
   * is slow, so that there is something to wait for. */
  'read-without-barrier': {
    disk: (disk) => {
      disk.tamper = () => ({ sync: true });
    },
    replica: (replica) => changed(replica, { readBarrier: async () => undefined, leaseValid: () => true }),
  },
  /** A leader that does not know that there is another one answers without asking. */
  'deposed-leader-reads': { replica: overstay },
  /** A follower answers from what it has. */
  'follower-does-not-ask': { points: () => async () => ({ index: 0, settled: Number.MAX_SAFE_INTEGER }) },
  /** An append that was retried takes effect twice. */
  'append-twice': {
    replica: (replica, world) => proposeTwice(replica, world, (op) => op.body?.$case === 'appendExtents', 0),
  },
  /** A lock is taken again later. */
  'lock-twice': {
    replica: (replica, world) =>
      proposeTwice(
        replica,
        world,
        (op) => op.body?.$case === 'setLock' && op.body.value.type !== F_UNLCK,
        400,
      ),
  },
  /** The client confirms recalls and goes on with what it has cached. */
  'ignore-recalls': {
    connector: (connector) => ({
      async connect(address, options) {
        let connection: RpcConnection<MetaRequest, MetaReply> | undefined;
        connection = await connector.connect(address, {
          ...options,
          onPush: (body) => {
            if (body.$case !== 'recall') options?.onPush?.(body);
            else connection?.send({ $case: 'recallAck', value: { recallId: body.value.recallId } });
          },
        });
        return connection;
      },
    }),
  },
} as const satisfies Readonly<Record<string, Mutation>>;
