import {
  RAFT_LOG_BYTES_HELD_MAX,
  RAFT_LOG_BYTES_MAX,
  RAFT_LOG_ENTRIES_KEPT,
  RAFT_LOG_ENTRIES_MAX,
} from '../../base/limits.ts';
import type { RawNode } from '../../core/raft/raw-node.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Failpoint } from './failpoint.ts';
import type { RaftLogStore } from './log-store.ts';
import type { StateStore } from './state-store.ts';

export interface LogLimits {
  readonly bytesMax: number;
  readonly entriesMax: number;
  readonly entriesKept: number;
  /** While a snapshot is being sent. */
  readonly bytesHeldMax: number;
}

export const LOG_LIMITS: LogLimits = {
  bytesMax: RAFT_LOG_BYTES_MAX,
  entriesMax: RAFT_LOG_ENTRIES_MAX,
  entriesKept: RAFT_LOG_ENTRIES_KEPT,
  bytesHeldMax: RAFT_LOG_BYTES_HELD_MAX,
};

export interface CompactorComponents {
  readonly core: RawNode;
  readonly log: RaftLogStore;
  readonly state: StateStore;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
  /** Runs work between two Readies, so that log and core are nobody else's meanwhile. */
  readonly exclusive: (work: () => Promise<void>) => Promise<void>;
}

/** Cuts the start of the log off when it has grown too long: first the state is synced, then the new start is recorded. */
export class Compactor {
  readonly #components: CompactorComponents;
  readonly #limits: LogLimits;
  #running: Promise<void> | undefined;

  constructor(components: CompactorComponents, limits: LogLimits) {
    this.#components = components;
    this.#limits = limits;
  }

  /** Starts a compaction when one is due. `held`: a follower that gets a snapshot will need the entries behind it. */
  consider(held: boolean): void {
    if (this.#running !== undefined || !this.#due(held)) return;
    this.#running = this.#compact()
      .catch((error: unknown) => {
        // Nothing is lost: the log is longer than it should be until the next attempt.
        this.#components.logger.warn({ err: error }, 'could not compact the log');
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  #due(held: boolean): boolean {
    const { log } = this.#components;
    if (held) return log.bytes > this.#limits.bytesHeldMax;
    return log.bytes > this.#limits.bytesMax || log.lastIndex - log.startIndex > this.#limits.entriesMax;
  }

  async #compact(): Promise<void> {
    const { core, log, state, logger, failpoint, exclusive } = this.#components;
    const { index: applied, confState } = state.applied;
    const { entriesKept, bytesMax } = this.#limits;
    if (log.compactionPoint(applied, entriesKept, bytesMax / 2) <= log.startIndex) return;
    // Everything up to `applied` is durable after this; the log is not needed to repeat it.
    await state.sync();
    await exclusive(async () => {
      const point = log.compactionPoint(applied, entriesKept, bytesMax / 2);
      if (point <= log.startIndex) return;
      failpoint('compaction');
      await log.compact(core.snapshotMetaAt(point, confState));
      core.compact(point);
      failpoint('compacted');
    });
    await log.dropCompacted();
    logger.debug({ start: log.startIndex, bytes: log.bytes }, 'compacted the log');
  }
}
