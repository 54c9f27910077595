import type { ServerId } from '../../src/base/ids.ts';
import type { RaftStatus } from '../../src/gen/ringfs/v1/admin.ts';
import type { MetaMember } from '../../src/gen/ringfs/v1/meta.ts';
import { Command } from '../../src/gen/ringfs/v1/namespace.ts';
import {
  type Applied,
  NotLeaderError,
  OverloadedError,
  ProposalLostError,
  type Replica,
  type SilentSession,
} from '../../src/meta/replica.ts';
import type { MemoryKvStore } from './memory-kv-store.ts';
import { NamespaceMachine } from './namespace-machine.ts';

interface Waiting {
  readonly command: Uint8Array;
  resolve(applied: Applied): void;
  reject(error: Error): void;
}

type Leader = { readonly id: ServerId; readonly address: string };

/**
 * A replica without Raft: commands are applied by the real state machine over a map, at once or when the test says so.
 * Several replicas may share a machine, as if they had the same log.
 */
export class MemoryReplica implements Replica {
  readonly id: ServerId;
  readonly machine: NamespaceMachine;
  readonly state: MemoryKvStore;
  /** What `leaseValid` says while this replica leads. */
  leaseOk = true;
  /** Refuse every proposal. */
  overloaded = false;
  /** Awaited by every `readBarrier`. */
  barrier: (() => Promise<void>) | undefined;
  memberList: MetaMember[];
  #leading = false;
  #term = 0;
  #leader: Leader | undefined;
  #holding = false;
  #waiting: Waiting[] = [];
  readonly #applied: ((batch: readonly Applied[]) => void)[] = [];
  readonly #roles: ((role: 'leader' | 'follower', term: number) => void)[] = [];
  /** Every command proposed, decoded. */
  readonly proposed: Command[] = [];

  constructor(id = 's1', machine: NamespaceMachine = new NamespaceMachine()) {
    this.id = id as ServerId;
    this.machine = machine;
    this.state = machine.store;
    this.memberList = [{ id, address: `${id}:1`, voter: true }];
  }

  /** The first entry of a cluster. */
  init(clusterId = 'c1', replicas = 3): void {
    this.machine.apply({
      body: {
        $case: 'initCluster',
        value: { clusterId, replicas, formatVersion: 1, time: { sec: 1, nsec: 0 } },
      },
    });
  }

  becomeLeader(): void {
    this.#term++;
    this.#leading = true;
    this.#leader = { id: this.id, address: `${this.id}:1` };
    for (const listener of this.#roles) listener('leader', this.#term);
  }

  /** What was proposed and not applied has an unknown fate. */
  becomeFollower(leader?: string): void {
    this.#leading = false;
    this.#leader = leader === undefined ? undefined : { id: leader as ServerId, address: `${leader}:1` };
    const lost = this.#waiting.splice(0);
    for (const listener of this.#roles) listener('follower', this.#term);
    for (const waiting of lost) waiting.reject(new ProposalLostError('leadership was lost'));
  }

  /** Keep proposals back until `release`. */
  hold(): void {
    this.#holding = true;
  }

  /** Applies everything kept back as one batch. */
  release(): void {
    this.#holding = false;
    this.#apply(this.#waiting.splice(0));
  }

  /** Applies everything kept back; the proposers are told that its fate is unknown. */
  releaseLost(): void {
    this.#holding = false;
    const lost = this.#waiting.splice(0);
    this.#apply(lost.map(({ command }) => ({ command, resolve: () => undefined, reject: () => undefined })));
    for (const waiting of lost) waiting.reject(new ProposalLostError('leadership was lost'));
  }

  get held(): number {
    return this.#waiting.length;
  }

  decide(command: Uint8Array): Promise<Applied> {
    return this.propose(command);
  }

  propose(command: Uint8Array): Promise<Applied> {
    if (!this.#leading) return Promise.reject(new NotLeaderError(this.#leader));
    if (this.overloaded) return Promise.reject(new OverloadedError('overloaded'));
    this.proposed.push(Command.decode(command));
    return new Promise((resolve, reject) => {
      const waiting = { command, resolve, reject };
      if (this.#holding) this.#waiting.push(waiting);
      else this.#apply([waiting]);
    });
  }

  async readBarrier(): Promise<void> {
    if (!this.#leading) throw new NotLeaderError(this.#leader);
    await this.barrier?.();
    if (!this.#leading) throw new NotLeaderError(this.#leader);
  }

  onApplied(listener: (batch: readonly Applied[]) => void): void {
    this.#applied.push(listener);
  }

  onRoleChange(listener: (role: 'leader' | 'follower', term: number) => void): void {
    this.#roles.push(listener);
  }

  isLeader(): boolean {
    return this.#leading;
  }

  leaseValid(): boolean {
    return this.#leading && this.leaseOk;
  }

  leader(): Leader | undefined {
    return this.#leader;
  }

  members(): readonly MetaMember[] {
    return this.memberList;
  }

  appliedIndex(): number {
    return this.machine.index;
  }

  async reached(index: number): Promise<void> {
    if (index > this.machine.index) throw new NotLeaderError(this.leader());
  }

  visibleIndex(): number {
    return this.machine.index;
  }

  /** What the leader before has told, or this one. */
  silence: readonly SilentSession[] = [];

  tellSilence(sessions: readonly SilentSession[]): void {
    this.silence = sessions;
  }

  toldSilence(): readonly SilentSession[] {
    return this.silence;
  }

  status(): RaftStatus {
    return {
      role: this.#leading ? 'leader' : 'follower',
      term: this.#term,
      commitIndex: this.machine.index,
      appliedIndex: this.machine.index,
      lastIndex: this.machine.index,
      firstIndex: 1,
      leaderId: this.#leader?.id ?? '',
      voters: this.memberList.map((member) => member.id),
      learners: [],
      peers: [],
      sessions: 0,
    };
  }

  #apply(batch: readonly Waiting[]): void {
    if (batch.length === 0) return;
    const first = this.machine.index + 1;
    const outcomes = this.machine.applyBatch(batch.map(({ command }) => command));
    const applied = outcomes.map((outcome, i) => ({ index: first + i, term: this.#term, outcome }));
    for (const listener of this.#applied) listener(applied);
    batch.forEach((waiting, i) => {
      waiting.resolve(applied[i]!);
    });
  }
}
