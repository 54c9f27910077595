import type { ServerId } from '../../../src/base/ids.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { mayPrecedePersistence } from '../../../src/core/raft/messages.ts';
import { RawNode } from '../../../src/core/raft/raw-node.ts';
import type { RaftRole, Ready } from '../../../src/core/raft/types.ts';
import {
  EntryType,
  type RaftConfState,
  type RaftMessage,
  RaftMessageType,
} from '../../../src/gen/ringfs/v1/raft.ts';
import { SimDisk } from './disk.ts';
import { type SimSnapshot, TICK_UNITS, type World } from './world.ts';

const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 2;
/** Clocks differ by up to 3% either way. */
const DRIFT_UNITS = 3;

interface PendingRead {
  readonly visibleThen: number;
  index: number | undefined;
}

/** A replica with a driver as in production: persist, send, apply, advance, each a separate event that a crash may precede. */
export class SimNode {
  readonly id: ServerId;
  readonly #world: World;
  readonly #disk: SimDisk;
  readonly #tickUnits: number;
  #core: RawNode | undefined;
  #life = 0;
  #busy = false;
  #installing = false;
  #pausedUntil = 0;
  #missedTicks = 0;
  #deferred: (() => void)[] = [];
  #snapshots: { snapshot: SimSnapshot; done: (ok: boolean) => void }[] = [];
  #proposals = new Map<number, number>();
  #reads = new Map<number, PendingRead>();
  #nextContext = 1;
  #seenCommit = 0;
  #seenLeadTerm = 0;

  constructor(world: World, id: ServerId, confState: RaftConfState) {
    this.id = id;
    this.#world = world;
    this.#disk = new SimDisk(confState);
    this.#tickUnits = TICK_UNITS - DRIFT_UNITS + world.random.below(2 * DRIFT_UNITS + 1);
  }

  get alive(): boolean {
    return this.#core !== undefined;
  }
  get role(): RaftRole | undefined {
    return this.#core?.status().role;
  }
  get applied(): number {
    return this.#disk.state.value.applied;
  }
  get confState(): RaftConfState {
    return this.#disk.state.value.confState;
  }
  get term(): number {
    return this.#core?.status().term ?? 0;
  }

  start(): void {
    if (this.alive) return;
    const { state } = this.#disk;
    let log = this.#disk.log.value;
    const { applied, appliedTerm, confState } = state.value;
    const stored = applied === log.index ? log.term : log.entries[applied - log.index - 1]?.term;
    if (stored !== appliedTerm) {
      // A crash came between the two halves of installing a snapshot.
      this.#disk.restartLog(applied, appliedTerm);
      log = this.#disk.log.value;
    }
    const snapshot = { index: log.index, term: log.term, confState };
    const { hardState, entries } = log;
    const random = seededRandom(this.#world.random.below(2 ** 31));
    this.#core = new RawNode(
      {
        id: this.id,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        appendBytesMax: 400,
        inflightMax: 4,
        uncommittedBytesMax: 4000,
        random,
      },
      { hardState, snapshot, entries, applied, confState },
    );
    this.#seenCommit = this.#core.status().commit;
    this.#seenLeadTerm = 0;
    this.#life += 1;
    this.#world.trace('start', this.id, hardState.term, log.index, entries.length, applied);
    this.#scheduleTick();
    this.#run(() => undefined);
  }

  crash(): void {
    if (!this.alive) return;
    this.#world.trace('crash', this.id);
    this.#core = undefined;
    this.#life += 1;
    this.#busy = false;
    this.#installing = false;
    this.#pausedUntil = 0;
    this.#missedTicks = 0;
    this.#deferred = [];
    this.#snapshots = [];
    this.#proposals = new Map();
    this.#reads = new Map();
    this.#disk.crash(this.#world.random);
  }

  /** The process stands still; ticks are made up for before anything else happens. */
  pause(units: number): void {
    if (!this.alive || this.#pausedUntil > 0) return;
    this.#pausedUntil = units;
    this.#later(units, () => {
      this.#pausedUntil = 0;
      const ticks = this.#missedTicks;
      this.#missedTicks = 0;
      this.#run((core) => {
        for (let i = 0; i < ticks; i++) core.tick();
      });
      const life = this.#life;
      for (const action of this.#deferred.splice(0)) if (this.#life === life) action();
    });
  }

  receive(message: RaftMessage): void {
    this.#whenRunning(() => {
      // Nothing may be stepped while a snapshot replaces the state; for Raft the message was lost.
      if (!this.#installing) this.#run((core) => core.step(message));
    });
  }

  receiveSnapshot(snapshot: SimSnapshot, message: RaftMessage, done: (ok: boolean) => void): void {
    this.receive(message);
    this.#whenRunning(() => {
      this.#snapshots.push({ snapshot, done });
      this.#pump();
    });
  }

  propose(data: Uint8Array): void {
    this.#whenRunning(() => {
      this.#run((core) => {
        const result = core.propose(data);
        if (result.ok) this.#proposals.set(result.index, result.term);
      });
    });
  }

  proposeConfChange(data: Uint8Array): void {
    this.#whenRunning(() => this.#run((core) => void core.proposeConfChange(data)));
  }

  transferTo(id: ServerId): void {
    this.#whenRunning(() => this.#run((core) => core.transferLeadership(id)));
  }

  reportUnreachable(id: ServerId): void {
    this.#whenRunning(() => this.#run((core) => core.reportUnreachable(id)));
  }

  /** A linearizable read: by lease where it holds, else by ReadIndex. */
  read(): void {
    const visibleThen = this.#world.oracle.visible;
    this.#whenRunning(() => {
      const core = this.#core!;
      const { role, commit } = core.status();
      const lease = this.#world.bug === 'read-without-lease' ? role === 'leader' : core.leaseValid();
      if (lease && this.applied === commit) {
        this.#world.counts.leaseReadsServed += 1;
        this.#world.oracle.read(this.id, this.applied, visibleThen);
        return;
      }
      const context = this.#nextContext;
      this.#nextContext += 1;
      this.#reads.set(context, { visibleThen, index: undefined });
      this.#run((c) => c.readIndex(context));
    });
  }

  compact(keep: number): void {
    const core = this.#core;
    if (core === undefined || this.#installing) return;
    const index = core.status().applied - keep;
    const term = core.term(index);
    if (term === undefined || index < core.status().firstIndex) return;
    this.#world.trace('compact', this.id, index);
    this.#world.counts.compactions += 1;
    this.#disk.compact(index, term);
    core.compact(index);
  }

  // The driver --------------------------------------------------------------------------------------------

  #scheduleTick(): void {
    this.#later(this.#tickUnits, () => {
      this.#scheduleTick();
      if (this.#pausedUntil > 0) this.#missedTicks += 1;
      else this.#run((core) => core.tick());
    });
  }

  /** Does not happen when this life has ended by then. */
  #later(delay: number, action: () => void): void {
    const life = this.#life;
    this.#world.after(delay, () => {
      if (this.#life === life) action();
    });
  }

  #whenRunning(action: () => void): void {
    if (!this.alive) return;
    if (this.#pausedUntil > 0) this.#deferred.push(action);
    else action();
  }

  #soon(action: () => void): void {
    this.#later(this.#world.random.below(this.#world.stepUnitsMax), () => {
      this.#whenRunning(() => {
        if (!this.#world.strikes(this.id)) action();
      });
    });
  }

  #run(action: (core: RawNode) => void): void {
    action(this.#core!);
    this.#observe();
    this.#pump();
  }

  #observe(): void {
    const core = this.#core!;
    const { role, term, commit, firstIndex } = core.status();
    if (role === 'leader' && term !== this.#seenLeadTerm) {
      this.#seenLeadTerm = term;
      this.#world.counts.elections += 1;
      this.#world.trace('leader', this.id, term);
      this.#world.oracle.elected(this.id, term, firstIndex, (index) => core.term(index));
    }
    for (let index = this.#seenCommit + 1; index <= commit; index++) {
      this.#world.oracle.committed(this.id, index, core.term(index), term);
    }
    this.#seenCommit = commit;
    // What a read by lease would answer at this very moment; the window of a stale lease may be short.
    if (role === 'leader' && this.applied === commit && core.leaseValid()) {
      this.#world.oracle.read(this.id, this.applied, this.#world.oracle.visible);
    }
  }

  #pump(): void {
    const core = this.#core!;
    if (this.#busy) return;
    const offered = this.#snapshots.shift();
    if (offered !== undefined) {
      this.#install(offered.snapshot, offered.done);
      return;
    }
    if (!core.hasReady()) return;
    this.#busy = true;
    const ready = core.ready();
    this.#traceReady(ready);
    for (const entry of ready.entries) {
      this.#world.oracle.stored(this.id, entry, core.term(entry.index - 1) ?? 0);
    }
    const { bug, earlySend } = this.#world;
    const early = ready.messages.filter(
      (m) => bug === 'send-before-persist' || (earlySend && mayPrecedePersistence(m)),
    );
    this.#send(early);
    const late = ready.messages.filter((m) => !early.includes(m));
    if (bug === 'count-unpersisted-self') core.advance(ready);
    this.#soon(() => this.#persist(ready, late));
  }

  #persist(ready: Ready, messages: readonly RaftMessage[]): void {
    const { bug } = this.#world;
    const hardState =
      bug === 'forget-vote' && ready.hardState !== undefined
        ? { ...ready.hardState, votedFor: undefined }
        : ready.hardState;
    this.#disk.append(hardState, ready.entries, ready.mustSync && bug !== 'skip-fsync');
    this.#soon(() => {
      this.#send(messages);
      this.#soon(() => this.#apply(ready));
    });
  }

  #send(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      if (message.type === RaftMessageType.SNAPSHOT) this.#stream(message);
      else this.#world.send(message);
    }
  }

  #stream(message: RaftMessage): void {
    const { applied, appliedTerm, confState } = this.#disk.state.value;
    const life = this.#life;
    this.#world.sendSnapshot({ index: applied, term: appliedTerm, confState }, message, (ok) => {
      if (this.#life !== life) return;
      this.#whenRunning(() => this.#run((core) => core.reportSnapshot(message.to as ServerId, ok)));
    });
  }

  #apply(ready: Ready): void {
    const core = this.#core!;
    for (const entry of ready.committedEntries) {
      this.#world.oracle.applied(this.id, entry, this.applied);
      let { confState } = this;
      if (entry.type === EntryType.CONF_CHANGE) {
        confState = core.applyConfChange(entry.data);
        this.#world.trace('conf', this.id, entry.index, JSON.stringify(confState));
        this.#countConfChange(confState);
      }
      const state = { applied: entry.index, appliedTerm: entry.term, confState };
      this.#disk.state.write(() => state, false);
      if (this.#proposals.get(entry.index) === entry.term) {
        this.#world.counts.proposalsAcknowledged += 1;
        this.#world.oracle.acknowledged(entry.index, entry.term);
      }
      this.#proposals.delete(entry.index);
    }
    this.#serveReads(ready);
    if (this.#world.bug !== 'count-unpersisted-self') core.advance(ready);
    this.#busy = false;
    this.#run(() => undefined);
  }

  #countConfChange(confState: RaftConfState): void {
    if (this.role !== 'leader') return;
    this.#world.counts.membershipChanges += 1;
    if (confState.votersOutgoing.length > 0) this.#world.counts.jointConfigurations += 1;
  }

  #serveReads(ready: Ready): void {
    for (const { context, index } of ready.readStates) {
      const read = this.#reads.get(context);
      if (read === undefined) continue;
      if (index === undefined) this.#reads.delete(context);
      else read.index = this.#world.bug === 'read-before-apply' ? 0 : index;
    }
    for (const [context, read] of this.#reads) {
      if (read.index === undefined || read.index > this.applied) continue;
      this.#reads.delete(context);
      this.#world.counts.readsServed += 1;
      this.#world.oracle.read(this.id, this.applied, read.visibleThen);
    }
  }

  #install(snapshot: SimSnapshot, done: (ok: boolean) => void): void {
    const core = this.#core!;
    if (!core.wantsSnapshot(snapshot)) {
      core.restoreSnapshot(snapshot);
      done(true);
      this.#run(() => undefined);
      return;
    }
    this.#busy = true;
    this.#installing = true;
    const { index, term, confState } = snapshot;
    this.#soon(() => {
      this.#disk.state.write(() => ({ applied: index, appliedTerm: term, confState }), true);
      this.#soon(() => {
        this.#disk.restartLog(index, term);
        if (!core.restoreSnapshot(snapshot)) throw new Error('the snapshot was wanted a moment ago');
        this.#world.counts.snapshotsInstalled += 1;
        this.#world.trace('restored', this.id, index, term);
        this.#seenCommit = index;
        this.#busy = false;
        this.#installing = false;
        done(true);
        this.#run(() => undefined);
      });
    });
  }

  #traceReady(ready: Ready): void {
    const { hardState } = ready;
    this.#world.trace(
      'ready',
      this.id,
      hardState?.term ?? 0,
      hardState?.votedFor ?? '',
      hardState?.commit ?? 0,
      ready.entries.length,
      ready.messages.length,
      ready.committedEntries.length,
    );
  }
}
