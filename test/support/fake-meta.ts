import { defined } from '../../src/base/assert.ts';
import { ERRNO } from '../../src/base/errno.ts';
import type { MetaReply, MetaRequest } from '../../src/gen/ringfs/v1/meta.ts';
import { type Attr, Command, type Commit, type CommitResult } from '../../src/gen/ringfs/v1/namespace.ts';
import type { BodyOf, RpcPeer, RpcStreamHandler } from '../../src/ports/rpc.ts';
import { MemoryNetwork } from './memory-rpc.ts';
import type { VirtualTimers } from './virtual-timers.ts';

export type Request = NonNullable<BodyOf<MetaRequest>>;
type Value<C extends Request['$case']> = Extract<Request, { $case: C }>['value'];
export type Reply = NonNullable<BodyOf<MetaReply>>;
/** A reply; undefined to leave it to the fake; never-resolving to hang. */
export type Script = (request: Request, address: string) => Reply | Promise<Reply> | undefined;

export function fakeAttr(ino: number, fields: Partial<Attr> = {}): Attr {
  return {
    ino,
    mode: 0o100644,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    allocatedBytes: 0,
    atimeSec: 0,
    atimeNsec: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
    btimeSec: 0,
    btimeNsec: 0,
    version: 1,
    dataVersion: 1,
    parent: 0,
    symlinkTarget: new Uint8Array(0),
    hasXattrs: false,
    hasAccessAcl: false,
    hasDefaultAcl: false,
    ...fields,
  };
}

export const hang = new Promise<never>(() => undefined);

interface Stream {
  readonly address: string;
  readonly peer: RpcPeer<MetaReply>;
  session: number;
}

/** Meta servers that agree on everything at once and do as they are told: for the client's protocol, not its meaning. */
export class FakeMeta {
  readonly network: MemoryNetwork<MetaRequest, MetaReply>;
  readonly timers: VirtualTimers;
  readonly requests: { readonly address: string; readonly body: Request }[] = [];
  /** Commits that took effect, in order. */
  readonly applied: Commit[] = [];
  readonly sessions = new Map<number, Map<number, CommitResult>>();
  readonly attrs = new Map<number, Attr>();
  readonly streams = new Set<Stream>();
  leader: string | undefined;
  leaseValid = true;
  leased = true;
  script: Script | undefined;
  /** Makes the result of a commit that is applied; default: ok without results. */
  result: (commit: Commit, index: number) => CommitResult['body'] = () => ({
    $case: 'ok',
    value: { results: [], touched: [] },
  });
  #index = 100;

  constructor(timers: VirtualTimers, addresses: readonly string[]) {
    this.timers = timers;
    this.network = new MemoryNetwork<MetaRequest, MetaReply>({ timers }, { latencyMs: () => 1 });
    for (const address of addresses) this.start(address);
    this.leader = addresses[0];
  }

  start(address: string): void {
    this.network.listen(address, (peer) => this.#accept(address, peer));
  }

  /** Bodies of the requests of one kind, in order of arrival. */
  seen<C extends Request['$case']>($case: C): Value<C>[] {
    const bodies = this.requests.map((r) => r.body).filter((body) => body.$case === $case);
    return bodies.map((body) => body.value as unknown as Value<C>);
  }

  commits(): Commit[] {
    return this.seen('commit').map((c) => decodeCommit(c.command));
  }

  push(body: Reply): void {
    for (const stream of this.streams) if (stream.address === this.leader) stream.peer.push(body);
  }

  /** Applies as the state machine does: once per sequence. */
  apply(commit: Commit): CommitResult {
    const answers = this.sessions.get(commit.session);
    if (answers === undefined) {
      return { index: ++this.#index, body: { $case: 'sessionUnknown', value: {} } };
    }
    const before = answers.get(commit.sequence);
    if (before !== undefined) return before;
    const index = ++this.#index;
    const result: CommitResult = { index, body: this.result(commit, index) };
    if (result.body?.$case === 'ok') this.applied.push(commit);
    answers.set(commit.sequence, result);
    return result;
  }

  #accept(address: string, peer: RpcPeer<MetaReply>): RpcStreamHandler<MetaRequest, MetaReply> {
    const stream: Stream = { address, peer, session: 0 };
    this.streams.add(stream);
    return {
      onRequest: async (body) => {
        this.requests.push({ address, body });
        const scripted = this.script?.(body, address);
        return scripted === undefined ? this.#answer(stream, body) : await scripted;
      },
      onClose: () => {
        this.streams.delete(stream);
      },
    };
  }

  #answer(stream: Stream, body: Request): Reply | undefined {
    if (stream.address !== this.leader) {
      return { $case: 'notLeader', value: { leaderId: '', leaderAddress: this.leader ?? '' } };
    }
    const wall = this.timers.wallTime();
    switch (body.$case) {
      case 'hello': {
        const session = body.value.session === 0 ? ++this.#index : body.value.session;
        if (body.value.session === 0) this.sessions.set(session, new Map());
        if (!this.sessions.has(session)) return error(ERRNO.ESTALE);
        stream.session = session;
        return {
          $case: 'hello',
          value: {
            session,
            clusterId: 'c1',
            time: wall,
            sessionTtlMs: 30_000,
            leaseTtlMs: 800,
            replicas: 3,
          },
        };
      }
      case 'ping':
        return { $case: 'ping', value: { time: wall, leaseValid: this.leaseValid } };
      case 'commit':
        return { $case: 'commit', value: this.apply(decodeCommit(body.value.command)) };
      case 'goodbye':
        this.sessions.delete(stream.session);
        return { $case: 'goodbye', value: {} };
      case 'getAttr': {
        const attr = this.attrs.get(body.value.ino);
        return attr === undefined
          ? error(ERRNO.ESTALE)
          : { $case: 'getAttr', value: { attr, leased: this.leased } };
      }
      case 'recallAck':
      case 'openInodesReply':
        return undefined;
      default:
        return error(ERRNO.ENOSYS);
    }
  }
}

export function error(errno: number): Reply {
  return { $case: 'error', value: { errno, message: 'scripted' } };
}

export function decodeCommit(command: Uint8Array): Commit {
  const body = defined(Command.decode(command).body, 'body');
  if (body.$case !== 'commit') throw new Error(`not a commit: ${body.$case}`);
  return body.value;
}
