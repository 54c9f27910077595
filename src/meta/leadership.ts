import { listBlockNodes, listOrphans, listSessions } from '../core/namespace/read.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import { BlockNodeMode } from '../gen/ringfs/v1/namespace.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { BlockNodeRegistry } from './block-node-registry.ts';
import { type DeleteCopies, GarbageCollector } from './garbage-collector.ts';
import { HoldBack } from './hold-back.ts';
import { LeaseTable, type SessionChange } from './leases.ts';
import { OrphanReaper } from './orphan-reaper.ts';
import { type Applied, NotLeaderError, type Replica } from './replica.ts';
import { SessionTable } from './sessions.ts';

export interface LeadershipComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Without it nothing is collected. */
  readonly garbage?: GarbageOptions;
}

export interface GarbageOptions {
  readonly deleteCopies: DeleteCopies;
  readonly graceMs: number;
}

export interface LeadershipOptions {
  readonly term: number;
  readonly leasesPerSessionMax?: number;
}

/**
 * Everything that only the leader has, for one term: leases, connected sessions, orphans to reap, what block nodes said. It
 * is thrown away as a whole when leadership ends, so that nothing of it can outlive the term.
 */
export class Leadership {
  readonly term: number;
  readonly leases: LeaseTable;
  readonly sessions: SessionTable;
  readonly holdBack: HoldBack;
  readonly reaper: OrphanReaper;
  readonly registry: BlockNodeRegistry;
  readonly garbage: GarbageCollector | undefined;
  readonly #c: LeadershipComponents;
  readonly #abort = new AbortController();
  #active = true;
  #noticed: number;

  constructor(components: LeadershipComponents, options: LeadershipOptions) {
    const { replica, timers, logger } = components;
    this.#c = components;
    this.term = options.term;
    this.#noticed = replica.appliedIndex();
    const { state } = replica;
    this.holdBack = new HoldBack({ timers });
    this.leases = new LeaseTable({ timers }, options);
    this.sessions = new SessionTable(
      {
        replica,
        timers,
        logger,
        leases: this.leases,
        listSessions: async () => (await listSessions(state)).map((row) => row.session),
      },
      {
        onAttached: (session) => this.holdBack.heard(session.id),
        onDetached: (session) => this.reaper.onDetached(session),
        onExpired: (session) => {
          this.holdBack.heard(session.id);
          this.reaper.onExpired(session);
        },
      },
    );
    this.reaper = new OrphanReaper({
      replica,
      timers,
      logger,
      sessions: this.sessions,
      listOrphans: async (after, limit) => (await listOrphans(state, after, limit)).map((row) => row.ino),
      onReaped: (ino) => this.leases.forget(ino),
    });
    const registry = new BlockNodeRegistry({
      replica,
      timers,
      listBlockNodes: () => listBlockNodes(state),
    });
    this.registry = registry;
    const { garbage } = components;
    this.garbage =
      garbage &&
      new GarbageCollector(
        { replica, timers, logger, nodes: () => servingNodes(registry), deleteCopies: garbage.deleteCopies },
        garbage,
      );
  }

  /** Aborted with NotLeaderError when the term ends. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get active(): boolean {
    return this.#active;
  }

  /** What the commits up to here changed is being recalled, or has been. */
  get noticedIndex(): number {
    return this.#noticed;
  }

  /** Reads which sessions there are. When it fails, the new leader's wait lasts its full time and the session sweep
   * reads them again. */
  start(): void {
    this.garbage?.start();
    this.sessions.load().then(
      (ids) => {
        if (!this.#active) return;
        this.holdBack.expect(ids);
        this.reaper.start();
      },
      (error: unknown) => {
        if (!this.#active) return;
        this.#c.logger.error({ err: error }, 'sessions could not be read');
        this.reaper.start();
      },
    );
  }

  /** Throws NotLeaderError. To be called after every await of a request. */
  check(): void {
    if (!this.#active || !this.#c.replica.isLeader()) throw new NotLeaderError(this.#c.replica.leader());
  }

  /**
   * Recalls what the applied commits changed, and tells who got a lock. Synchronous with the applying, before any proposal of the batch resolves: the
   * recalls do not depend on whether anybody still waits for an answer. A duplicate changed nothing now; what it changed when
   * it was first applied was recalled then, by this leader, or is what a new leader's hold-back is for.
   */
  onApplied(batch: readonly Applied[]): void {
    const changes: SessionChange[] = [];
    this.#noticed = batch.at(-1)?.index ?? this.#noticed;
    for (const { outcome } of batch) {
      // A client that is not connected asks when it is.
      for (const { session, ino, ticket } of outcome.grants ?? []) {
        this.sessions.get(session)?.link?.lockGranted({ ino, ticket });
      }
      const body = outcome.result.body;
      if (body?.$case !== 'ok' || body.value.touched.length === 0) continue;
      for (const touched of body.value.touched) {
        if (touched.removed && touched.attr !== undefined) this.reaper.add(touched.attr.ino);
      }
      if (!outcome.duplicate) changes.push({ session: outcome.session, touched: body.value.touched });
    }
    if (changes.length > 0) this.leases.change(changes);
  }

  /** Closes all session streams: clients find the new leader sooner than by asking here. */
  close(): void {
    this.#active = false;
    this.#abort.abort(new NotLeaderError(undefined));
    this.reaper.close();
    this.garbage?.close();
    this.sessions.close();
    this.leases.close();
    this.holdBack.close();
  }
}

/** Removed nodes have nothing to delete that anybody counts on. */
export async function servingNodes(registry: BlockNodeRegistry): Promise<BlockNodeState[]> {
  return (await registry.states()).filter((node) => node.mode !== BlockNodeMode.REMOVED);
}
