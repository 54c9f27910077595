import { assert, defined } from '../../base/assert.ts';
import type { ServerId } from '../../base/ids.ts';
import {
  APPLY_QUEUE_BYTES_MAX,
  RAFT_APPEND_BYTES_MAX,
  RAFT_ELECTION_TICKS,
  RAFT_HEARTBEAT_TICKS,
  RAFT_INFLIGHT_MAX,
  RAFT_UNCOMMITTED_BYTES_MAX,
} from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { FORMAT_VERSION } from '../../core/namespace/cluster.ts';
import { readCluster } from '../../core/namespace/read.ts';
import { RawNode } from '../../core/raft/raw-node.ts';
import type { RaftRole, Ready } from '../../core/raft/types.ts';
import type { RaftStatus } from '../../gen/ringfs/v1/admin.ts';
import type { MetaMember } from '../../gen/ringfs/v1/meta.ts';
import { Command } from '../../gen/ringfs/v1/namespace.ts';
import {
  type RaftConfState,
  type RaftEntry,
  type RaftMessage,
  RaftMessageType,
  type RaftSnapshotMeta,
  type SnapshotPart,
} from '../../gen/ringfs/v1/raft.ts';
import type { Timers } from '../../ports/clock.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import type { Logger } from '../../ports/logger.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import type { RaftReceiver, RaftTransport } from '../../ports/raft-transport.ts';
import {
  type Applied,
  NotLeaderError,
  OverloadedError,
  type Replica,
  type SilentSession,
} from '../replica.ts';
import { AppliedWaiters } from './applied-waiters.ts';
import { Applier } from './applier.ts';
import { Compactor, LOG_LIMITS, type LogLimits } from './compactor.ts';
import { ReplicaStoppedError, SnapshotRefusedError, StateDivergedError } from './errors.ts';
import { type Failpoint, noFailpoint } from './failpoint.ts';
import { Leadership, type RoleListener } from './leadership.ts';
import { LeaseClock } from './lease-clock.ts';
import type { RaftLogStore } from './log-store.ts';
import { Members } from './members.ts';
import { type MemberChange, Membership } from './membership.ts';
import { Pacer } from './pacer.ts';
import { Proposals } from './proposals.ts';
import { RaftCounters, type RaftCountersSnapshot } from './raft-counters.ts';
import { raftStatus } from './raft-status.ts';
import { ReadRounds } from './read-rounds.ts';
import { ReadyLoop } from './ready-loop.ts';
import { recover } from './recovery.ts';
import { SnapshotTransfers } from './snapshot-transfers.ts';
import { StateAuditor } from './state-audit.ts';
import { STATE_CHECK_LIMITS, type StateCheckLimits } from './state-check-limits.ts';
import { StateChecks } from './state-checks.ts';
import type { StateInstall, StateStore } from './state-store.ts';
import { type ReplicaHealth, StorageHealth } from './storage-health.ts';
import { Ticker } from './ticker.ts';
import { ToldSilence } from './told-silence.ts';

export interface RaftReplicaComponents {
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly transport: RaftTransport;
  readonly storage: MetaStorage;
  readonly failpoint?: Failpoint;
  /** Called when the stores are open and before anything is answered, voted or sent. */
  readonly beforeTakingPart?: () => void;
  /** Called at most once: the replica does nothing more until a new start. A full disk, which heals by itself, is not that. */
  readonly onFailed?: (reason: string) => void;
}

export interface RaftReplicaOptions {
  readonly id: ServerId;
  /** A UUID. A data directory of another cluster is refused. */
  readonly clusterId: string;
  /** Voters of a new cluster, the same list on every server, and where everybody listens. Empty: this replica waits until a
   * cluster adds it. */
  readonly members: readonly { readonly id: ServerId; readonly address: string }[];
  /** It has taken part before: a data directory without a log is refused. */
  readonly restarts?: boolean;
  /** R of the block ring, recorded when the cluster begins. */
  readonly replicas: number;
  readonly logLimits?: LogLimits;
  readonly stateChecks?: StateCheckLimits;
}

const CORE_LIMITS = {
  electionTicks: RAFT_ELECTION_TICKS,
  heartbeatTicks: RAFT_HEARTBEAT_TICKS,
  appendBytesMax: RAFT_APPEND_BYTES_MAX,
  inflightMax: RAFT_INFLIGHT_MAX,
  uncommittedBytesMax: RAFT_UNCOMMITTED_BYTES_MAX,
};

/** Everything that exists between start() and stop(). */
interface Running {
  readonly core: RawNode;
  readonly log: RaftLogStore;
  readonly state: StateStore;
  readonly applier: Applier;
  readonly loop: ReadyLoop;
  readonly ticker: Ticker;
  readonly snapshots: SnapshotTransfers;
  readonly compactor: Compactor;
  readonly membership: Membership;
  readonly auditor: StateAuditor;
}

const isVoteRequest = ({ type }: RaftMessage): boolean =>
  type === RaftMessageType.VOTE || type === RaftMessageType.PRE_VOTE;

/** The Raft driver: gives the pure core its clock, its disk and its network, and applies what it commits. */
export class RaftReplica implements Replica, RaftReceiver {
  readonly id: ServerId;
  readonly state: Pick<KvStore, 'get' | 'getMany' | 'scan'>;
  readonly #components: RaftReplicaComponents;
  readonly #options: RaftReplicaOptions;
  readonly #logger: Logger;
  readonly #failpoint: Failpoint;
  readonly #storageHealth: StorageHealth;
  readonly #leadership: Leadership;
  readonly #lease: LeaseClock;
  readonly #members: Members;
  readonly #pacer: Pacer;
  readonly #proposals = new Proposals();
  readonly #reads: ReadRounds;
  readonly #waiters = new AppliedWaiters();
  readonly #checks: StateChecks;
  readonly #counters = new RaftCounters();
  readonly #silence: ToldSilence;
  readonly #appliedListeners: ((batch: readonly Applied[]) => void)[] = [];
  readonly #stopSignal = new AbortController();
  #phase: 'new' | 'starting' | 'running' | 'stopping' | 'stopped' = 'new';
  #running: Running | undefined;
  #role: RaftRole = 'follower';
  #leaderId: ServerId | undefined;
  #term = 0;
  /** As of the last Ready. Nothing beyond it has been answered to anybody. */
  #commit = 0;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(components: RaftReplicaComponents, options: RaftReplicaOptions) {
    this.#components = components;
    this.#options = options;
    this.id = options.id;
    this.#logger = components.logger.child({ component: 'raft', server: options.id });
    this.#failpoint = components.failpoint ?? noFailpoint;
    this.#lease = new LeaseClock(options.id);
    this.#members = new Members(options.id, components.transport, options.members);
    const { timers, transport } = components;
    this.#silence = new ToldSilence(timers);
    this.#pacer = new Pacer({ timers, send: (messages) => transport.send(messages) }, options.id);
    this.#storageHealth = new StorageHealth({ timers: components.timers, logger: this.#logger }, () =>
      this.#onStorageHealth(),
    );
    this.#leadership = new Leadership({
      logger: this.#logger,
      hooks: { leads: (term) => this.#leads(term), prepare: () => this.#prepareToLead() },
    });
    this.#reads = new ReadRounds((context) => {
      this.#require().core.readIndex(context);
      this.#require().loop.kick();
    });
    this.#checks = this.#makeChecks();
    const live = (): StateStore['view'] => this.#require().state.view;
    this.state = {
      get: async (key) => await live().get(key),
      getMany: async (keys) => await live().getMany(keys),
      scan: (range) => live().scan(range),
    };
  }

  #makeChecks(): StateChecks {
    const { timers } = this.#components;
    const confState = (): RaftConfState => this.#require().state.applied.confState;
    const hooks = {
      leadingTerm: () => (this.isLeader() ? this.#term : undefined),
      voters: () => confState().voters,
      learners: () => confState().learners,
      commitIndex: () => this.#commit,
      propose: (command: Uint8Array) => this.decide(command),
      advice: () => this.#advice(),
    };
    const limits = this.#options.stateChecks ?? STATE_CHECK_LIMITS;
    return new StateChecks({ timers, logger: this.#logger, hooks }, this.id, limits);
  }

  #advice(): string {
    const { location } = this.#components.storage;
    return (
      `it has stopped, and its data stays in ${location} to be looked at: remove it (ringfs cluster remove ${this.id}), ` +
      'move that folder away, start the server with --join and add it again (ringfs cluster add)'
    );
  }

  // Life ------------------------------------------------------------------------------------------------

  /** Recovers from disk and takes part. Rejects with DataDirectoryError when it must not. */
  start(): Promise<void> {
    assert(this.#phase === 'new', 'a replica starts once');
    this.#phase = 'starting';
    this.#started = this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const { storage, random } = this.#components;
    const { log, state, initial } = await recover(storage, this.#options, this.#logger);
    try {
      this.#beforeTakingPart();
    } catch (error) {
      await Promise.all([log.close(), state.close()]);
      throw error;
    }
    const core = new RawNode({ ...CORE_LIMITS, id: this.id, random }, initial);
    this.#term = initial.hardState.term;
    this.#commit = initial.hardState.commit;
    this.#running = this.#assemble(core, log, state);
    this.#configured(state.applied.confState);
    if (this.#phase !== 'starting') return; // stop() was called meanwhile and closes what was opened
    this.#phase = 'running';
    if (state.condemned !== undefined) this.#storageHealth.fail(new StateDivergedError(state.condemned));
    this.#running.ticker.start();
    this.#running.loop.kick();
  }

  #beforeTakingPart(): void {
    const { beforeTakingPart } = this.#components;
    if (beforeTakingPart === undefined) return;
    this.#failpoint('formation-decided');
    beforeTakingPart();
    this.#failpoint('formation-recorded');
  }

  #assemble(core: RawNode, log: RaftLogStore, state: StateStore): Running {
    const { transport, timers } = this.#components;
    const [logger, failpoint] = [this.#logger, this.#failpoint];
    const onFatal = (error: unknown): void => {
      if (this.#phase !== 'running') return;
      if (error instanceof StateDivergedError) this.#condemn(error, state);
      this.#storageHealth.fail(error);
    };
    const { signal } = this.#stopSignal;
    const storageHooks = (source: 'log' | 'state') => ({
      onNoSpace: (error: unknown) => this.#storageHealth.waitForSpace(source, error, signal),
      onSpace: () => this.#storageHealth.spaceFound(source),
      onFatal,
    });
    const applier = new Applier({
      store: state,
      timers,
      logger,
      failpoint,
      hooks: {
        ...storageHooks('state'),
        isAwaited: () => this.#role === 'leader' || this.#waiters.size > 0,
        mayWriteLater: () => this.#leadership.term !== undefined && this.#waiters.size === 0,
        applyConfChange: (data) => this.#applyConfChange(core, data),
        onOutcomes: (entries, outcomes) => this.#onOutcomes(entries, outcomes),
        onStateHash: (index, hash) => this.#checks.onStateHash(index, hash),
        onStateVerdict: (verdict) => this.#checks.onVerdict(verdict),
        onBatch: (entries) => this.#onBatch(entries),
      },
    });
    const loop = new ReadyLoop({
      core,
      log,
      applier,
      failpoint,
      timers,
      logWrites: this.#counters.logWrites,
      hooks: {
        ...storageHooks('log'),
        onReady: (ready) => this.#onReady(ready),
        send: (messages) => this.#send(messages),
      },
    });
    const snapshots = new SnapshotTransfers(
      {
        transport,
        timers,
        state,
        logger,
        failpoint,
        hooks: {
          term: () => this.#term,
          wants: (meta) => core.wantsSnapshot(meta),
          onSent: (to, ok) => this.#onSnapshotSent(to, ok),
          install: (meta, install) => loop.exclusive(() => this.#install(meta, install)),
        },
      },
      { id: this.id, clusterId: this.#options.clusterId },
    );
    const compactor = new Compactor(
      { core, log, state, logger, failpoint, exclusive: (work) => loop.exclusive(work) },
      this.#options.logLimits ?? LOG_LIMITS,
    );
    const ticker = new Ticker(timers, () => this.#onTick());
    const membership = new Membership(core, logger);
    const { auditIntervalMs: intervalMs, auditPauseMs: pauseMs } =
      this.#options.stateChecks ?? STATE_CHECK_LIMITS;
    const auditor = new StateAuditor(
      { timers, logger, state, onDiverged: onFatal, advice: () => this.#advice() },
      { intervalMs, pauseMs },
    );
    return { core, log, state, applier, loop, ticker, snapshots, compactor, membership, auditor };
  }

  /** The disk does not have what was written to it: what this replica would answer, apply and send from now on may be wrong. */
  damaged(reason: string): void {
    if (this.#phase !== 'running' || this.#storageHealth.failed) return;
    const error = new StateDivergedError(
      `its disk does not have what was written to it: ${reason}; ${this.#advice()}`,
    );
    this.#condemn(error, this.#require().state);
    this.#storageHealth.fail(error);
  }

  /** The next start must know it too. */
  #condemn(error: StateDivergedError, state: StateStore): void {
    state.condemn(error.message).catch((failure: unknown) => {
      this.#logger.error({ err: failure }, 'that the state must not be used could not be written down');
    });
  }

  /** Finishes what is being written and closes the stores. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#phase = 'stopping';
    await this.#started?.catch(() => undefined);
    this.#stopSignal.abort(new ReplicaStoppedError());
    const running = this.#running;
    if (running !== undefined) {
      running.ticker.stop();
      this.#abdicate();
      await running.auditor.stop();
      this.#waiters.rejectAll(new ReplicaStoppedError());
      await running.snapshots.stop();
      await running.loop.stop();
      await running.compactor.idle();
      await running.applier.stop();
      try {
        if (this.#storageHealth.usable) await running.loop.flush();
      } finally {
        await Promise.all([running.log.close(), running.state.close()]);
      }
    }
    this.#phase = 'stopped';
  }

  /** It has a status. */
  get started(): boolean {
    return this.#running !== undefined && this.#phase !== 'stopped';
  }

  health(): ReplicaHealth {
    if (this.#phase === 'new' || this.#phase === 'starting') return { status: 'starting', detail: '' };
    if (this.#phase !== 'running') return { status: 'stopping', detail: '' };
    const health = this.#storageHealth.health();
    const alarm = this.#checks.alarm();
    return health.status === 'ok' && alarm !== undefined ? { status: 'degraded', detail: alarm } : health;
  }

  // Replica -------------------------------------------------------------------------------------------

  async propose(command: Uint8Array): Promise<Applied> {
    const applied = await this.decide(command);
    // Its proposer goes on to read what it wrote.
    await this.#inState(applied.index);
    return applied;
  }

  async decide(command: Uint8Array): Promise<Applied> {
    if (!this.isLeader()) throw new NotLeaderError(this.leader());
    return await this.#propose(command);
  }

  async #propose(command: Uint8Array): Promise<Applied> {
    const { core, applier, loop } = this.#require();
    assert(command.length > 0, 'empty entries are Raft’s own');
    if (applier.queuedBytes > APPLY_QUEUE_BYTES_MAX) throw new OverloadedError('too much to apply');
    const proposed = core.propose(command);
    if (!proposed.ok) {
      if (proposed.reason === 'overloaded') throw new OverloadedError('too many uncommitted bytes');
      throw new NotLeaderError(proposed.reason === 'transferring' ? undefined : this.leader());
    }
    const applied = this.#proposals.wait(proposed.index, proposed.term);
    loop.kick();
    return await applied;
  }

  async readBarrier(): Promise<void> {
    if (!this.isLeader()) throw new NotLeaderError(this.leader());
    const index = this.leaseValid() ? this.#commit : await this.#reads.join();
    await this.#inState(index);
  }

  onApplied(listener: (batch: readonly Applied[]) => void): void {
    this.#appliedListeners.push(listener);
  }

  onRoleChange(listener: RoleListener): void {
    this.#leadership.onRoleChange(listener);
  }

  isLeader(): boolean {
    const term = this.#leadership.term;
    return term !== undefined && this.#leads(term);
  }

  leaseValid(): boolean {
    if (!this.isLeader()) return false;
    const { core, state } = this.#require();
    const nowMs = this.#components.timers.nowMs();
    return core.leaseValid() && this.#lease.valid(this.#term, state.applied.confState, nowMs);
  }

  leader(): { readonly id: ServerId; readonly address: string } | undefined {
    const id = this.#active() ? this.#leaderId : undefined;
    const address = id === undefined ? undefined : this.#members.address(id);
    return id === undefined || address === undefined ? undefined : { id, address };
  }

  members(): readonly MetaMember[] {
    return this.#members.list();
  }

  appliedIndex(): number {
    return this.#running?.state.applied.index ?? 0;
  }

  async reached(index: number): Promise<void> {
    if (!this.#active()) throw new NotLeaderError(undefined);
    await this.#inState(index);
    if (!this.#active()) throw new NotLeaderError(undefined);
  }

  visibleIndex(): number {
    return this.#require().state.visibleIndex;
  }

  tellSilence(sessions: readonly SilentSession[]): void {
    this.#silence.tell(sessions);
  }

  toldSilence(): readonly SilentSession[] {
    return this.#silence.latest();
  }

  status(): RaftStatus {
    const { core, state } = this.#require();
    return raftStatus(core.status(), state.applied.index, this.#checks.status());
  }

  counters(): RaftCountersSnapshot {
    return this.#counters.snapshot();
  }

  /**
   * Resolves with the index of the change once it is in force, and stays so without those who left it, or at once with 0 for a transfer, which is tried for an election timeout.
   * Throws NotLeaderError, which for a change leaves its fate open, MemberChangeRefusedError, MemberChangeLaterError.
   */
  async changeMembers(change: MemberChange): Promise<number> {
    if (!this.isLeader()) throw new NotLeaderError(this.leader());
    const { core, membership, loop } = this.#require();
    const started = membership.start(change);
    loop.kick();
    if (started === undefined) return 0;
    await this.#inState(started.index);
    // A removed server may be switched off for good now. A member that lost power before it wrote down that the change is
    // committed would wait for it for ever, so that first a majority of the new members has an entry that says so.
    const mark = core.propose(new Uint8Array());
    if (!mark.ok) throw new NotLeaderError(this.leader());
    loop.kick();
    await this.#inState(mark.index);
    if (core.term(mark.index) !== mark.term) throw new NotLeaderError(this.leader());
    return started.index;
  }

  /** The state as it is here now, as a stream. The caller ends it. What makes it a linearizable read is the caller's. */
  async capture(): Promise<AsyncIterableIterator<SnapshotPart>> {
    return (await this.#require().snapshots.capture()).parts;
  }

  /** The transport lost a peer: what was on its way to it may be lost too. */
  reportUnreachable(id: ServerId): void {
    if (!this.#active()) return;
    const { core, loop } = this.#require();
    core.reportUnreachable(id);
    this.#pacer.unreachable(id);
    loop.kick();
  }

  // RaftReceiver -------------------------------------------------------------------------------------

  onMessages(
    messages: readonly RaftMessage[],
    from: { readonly id: ServerId; readonly address: string; readonly clusterId: string },
  ): void {
    if (!this.#active()) return;
    if (from.clusterId !== this.#options.clusterId) {
      this.#logger.warn({ from: from.id, cluster: from.clusterId }, 'dropped messages of another cluster');
      return;
    }
    const { core, applier, loop, state } = this.#require();
    const congested = applier.queuedBytes > APPLY_QUEUE_BYTES_MAX;
    const joining = state.applied.confState.voters.length === 0;
    this.#members.meet(from.id, from.address);
    for (const message of messages) {
      // One that waits to be added may have been a member before, and have lost its votes with its disk. Nobody needs its vote: who
      // is to vote has caught up before.
      if (joining && isVoteRequest(message)) continue;
      // The leader sends them again; heartbeats keep it leader meanwhile.
      if (congested && message.type === RaftMessageType.APPEND && message.entries.length > 0) continue;
      core.step(message);
      this.#checks.onReceive(message);
      if (message.term >= this.#term) this.#silence.onReceive(message);
      this.#lease.onReceive(message);
      this.#pacer.onReceive(message);
    }
    loop.kick();
  }

  async onSnapshot(parts: AsyncIterable<SnapshotPart>): Promise<void> {
    if (!this.#active()) throw new SnapshotRefusedError('the replica is not running');
    await this.#require().snapshots.receive(parts);
  }

  // Events -------------------------------------------------------------------------------------------

  #onTick(): void {
    if (!this.#active()) return;
    const { core, loop, compactor, snapshots, membership, auditor } = this.#require();
    core.tick();
    membership.tick();
    this.#checks.tick();
    auditor.tick();
    this.#members.tick();
    loop.kick();
    compactor.consider(snapshots.sending);
    if (this.#leadership.term === undefined) this.#considerLeading();
  }

  #onReady(ready: Ready): void {
    const term = ready.hardState?.term ?? this.#term;
    const role = ready.softState?.role ?? this.#role;
    // A new term ends a leadership even when the next one is this replica's too.
    if (this.#role === 'leader' && (role !== 'leader' || term !== this.#term)) this.#abdicate();
    this.#term = term;
    this.#role = role;
    if (ready.hardState !== undefined) this.#commit = ready.hardState.commit;
    this.#pacer.onCommit(this.#commit);
    if (ready.softState !== undefined) this.#leaderId = ready.softState.leader;
    this.#counters.onReady(role, term, this.#leaderId);
    this.#reads.onReadStates(ready.readStates, () => new NotLeaderError(this.leader()));
  }

  /** Nobody may take this replica for the leader from now on. */
  #abdicate(): void {
    this.#leadership.end(this.#term);
    this.#running?.snapshots.cancelSends();
    this.#pacer.drop();
    this.#proposals.loseAll();
    this.#reads.rejectAll(new NotLeaderError(undefined));
    this.#waiters.rejectAll(new NotLeaderError(undefined));
  }

  #send(messages: readonly RaftMessage[]): void {
    const { timers } = this.#components;
    const snapshots = messages.filter((m) => m.type === RaftMessageType.SNAPSHOT);
    const others = snapshots.length === 0 ? messages : messages.filter((m) => !snapshots.includes(m));
    if (others.length > 0) {
      this.#lease.onSend(others, timers.nowMs());
      this.#pacer.send(this.#silence.outgoing(this.#checks.outgoing(others)));
    }
    for (const message of snapshots) this.#require().snapshots.send(message.to as ServerId);
  }

  #onOutcomes(entries: readonly RaftEntry[], outcomes: readonly Applied[]): void {
    if (outcomes.length > 0) for (const listener of this.#appliedListeners) listener(outcomes);
    this.#proposals.settle(entries, outcomes);
  }

  #onBatch(entries: readonly RaftEntry[]): void {
    const last = defined(entries.at(-1), 'applied entries');
    this.#waiters.advance(last.index);
    this.#considerLeading();
  }

  #considerLeading(): void {
    const { state } = this.#require();
    if (!this.#leads(this.#term) || state.applied.term !== this.#term) return;
    this.#leadership.begin(this.#term).catch((error: unknown) => this.#storageHealth.fail(error));
  }

  /** The first leader of a cluster gives it its identity and its root directory. */
  async #prepareToLead(): Promise<void> {
    if ((await readCluster(this.state)) !== undefined) return;
    const time = this.#components.timers.wallTime();
    const { clusterId, replicas } = this.#options;
    const value = { clusterId, time, replicas, formatVersion: FORMAT_VERSION };
    const { index } = await this.#propose(Command.encode({ body: { $case: 'initCluster', value } }).finish());
    await this.#inState(index);
  }

  /** Resolves when reads of the state see what the entry at `index` did. */
  async #inState(index: number): Promise<void> {
    if (index <= this.appliedIndex()) return;
    const applied = this.#waiters.wait(index);
    this.#require().applier.hurry();
    await applied;
  }

  #applyConfChange(core: RawNode, data: Uint8Array): RaftConfState {
    this.#failpoint('membership-change');
    const confState = core.applyConfChange(data);
    this.#configured(confState);
    this.#running?.loop.kick();
    return confState;
  }

  #configured(confState: RaftConfState): void {
    this.#members.update(confState);
    this.#pacer.configure(confState);
  }

  /** While the disk is full too: the core would take the snapshot for under way for ever, and send that peer nothing else. */
  #onSnapshotSent(to: ServerId, ok: boolean): void {
    if (this.#phase !== 'running') return;
    const { core, loop } = this.#require();
    core.reportSnapshot(to, ok);
    if (this.#active()) loop.kick();
  }

  /** Between two Readies. After `restoreSnapshot` there is no way back: a failure stops the replica. */
  async #install(meta: RaftSnapshotMeta, install: StateInstall): Promise<void> {
    const { core, log, state, applier, loop } = this.#require();
    await applier.idle();
    const wanted = core.restoreSnapshot(meta);
    loop.kick();
    if (!wanted) return;
    try {
      this.#failpoint('snapshot-install');
      await state.switchTo(install);
      this.#failpoint('snapshot-switched');
      await log.reset(meta);
    } catch (error) {
      this.#storageHealth.fail(error);
      throw error;
    }
    applier.restart();
    this.#configured(state.applied.confState);
    this.#waiters.advance(meta.index);
  }

  #onStorageHealth(): void {
    if (this.#storageHealth.usable) {
      this.#considerLeading();
      this.#running?.loop.kick();
      return;
    }
    const { failed } = this.#storageHealth;
    if (failed) this.#running?.loop.halt();
    this.#abdicate();
    // A replica that must not be used would not be better off with another start.
    if (failed && !this.#storageHealth.diverged) {
      this.#components.onFailed?.(this.#storageHealth.health().detail);
    }
  }

  /** May tick, answer and lead. */
  #active(): boolean {
    return this.#phase === 'running' && this.#storageHealth.usable;
  }

  #leads(term: number): boolean {
    return this.#active() && this.#role === 'leader' && this.#term === term;
  }

  #require(): Running {
    if (this.#running === undefined || this.#phase === 'stopped') throw new ReplicaStoppedError();
    return this.#running;
  }
}
