import type { ServerId } from '../../base/ids.ts';
import { STATE_CHECKS_KEPT } from '../../base/limits.ts';
import { hashText } from '../../core/namespace/row-hash.ts';
import type { StateCheckStatus } from '../../gen/ringfs/v1/admin.ts';
import { Command, type StateVerdict } from '../../gen/ringfs/v1/namespace.ts';
import { type RaftMessage, RaftMessageType, type RaftStateHash } from '../../gen/ringfs/v1/raft.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { StateDivergedError } from './errors.ts';

export interface StateCheckOptions {
  readonly intervalMs: number;
  readonly waitMs: number;
}

export interface StateChecksComponents {
  readonly timers: Timers;
  readonly logger: Logger;
  readonly hooks: {
    /** Undefined: this replica does not lead, or has not begun to. */
    leadingTerm(): number | undefined;
    voters(): readonly string[];
    learners(): readonly string[];
    commitIndex(): number;
    /** Rejects when it is not certain to be committed; it is tried again later then. */
    propose(command: Uint8Array): Promise<unknown>;
    /** What an operator does about this replica, once it has stopped. */
    advice(): string;
  };
}

/** The hashes at one CheckState, by server. This replica's own is among them. */
interface Comparison {
  readonly index: number;
  readonly hashes: Map<string, number>;
  /** Since when it is known that they differ. */
  differentSinceMs: number | undefined;
  judged: boolean;
}

/** A server's hash at an index, and this replica's. */
interface Said {
  readonly index: number;
  readonly own: number;
  readonly other: number;
}

const CHECK_STATE = Command.encode({ body: { $case: 'checkState', value: {} } }).finish();

/**
 * Compares the states of the replicas while they serve. Now and then the leader has a command committed that changes nothing, at which
 * every replica notes the hash of its rows; all tell the leader with the answers to its heartbeats. When they differ, and a majority of
 * the voters has the same, the leader has the verdict committed, and whoever finds that it had something else stops: the leader
 * too. Without such a majority it cannot be said who is wrong, and there is only the alarm.
 */
export class StateChecks {
  readonly #c: StateChecksComponents;
  readonly #options: StateCheckOptions;
  readonly #self: ServerId;
  /** Those that this replica took part in, oldest first. */
  #comparisons: Comparison[] = [];
  /** What the others said last that this replica can judge. Only at the leader. */
  readonly #said = new Map<string, Said>();
  #nextCheckMs: number;
  #term: number | undefined;
  #proposing = false;

  constructor(components: StateChecksComponents, self: ServerId, options: StateCheckOptions) {
    this.#c = components;
    this.#self = self;
    this.#options = options;
    this.#nextCheckMs = components.timers.nowMs() + options.intervalMs;
  }

  get #latest(): Comparison | undefined {
    return this.#comparisons.at(-1);
  }

  #hashOf(index: number): number | undefined {
    return this.#comparisons.find((c) => c.index === index)?.hashes.get(this.#self);
  }

  // At every replica ------------------------------------------------------------------------------------

  /** A CheckState was applied. */
  onStateHash(index: number, hash: number): void {
    const hashes = new Map([[this.#self as string, hash]]);
    this.#comparisons.push({ index, hashes, differentSinceMs: undefined, judged: false });
    if (this.#comparisons.length > STATE_CHECKS_KEPT) this.#comparisons.shift();
  }

  /** Throws StateDivergedError when this replica is the one that is wrong. */
  onVerdict({ index, hash }: StateVerdict): void {
    const own = this.#hashOf(index);
    if (own === undefined || own === hash) return;
    throw new StateDivergedError(
      `its rows differ from those of the other replicas: at log index ${index} their hash was ${hashText(own)}, ` +
        `and ${hashText(hash)} at a majority; ${this.#c.hooks.advice()}`,
    );
  }

  /** The messages of a Ready, with what the leader has to know. */
  outgoing(messages: readonly RaftMessage[]): readonly RaftMessage[] {
    const latest = this.#latest;
    const hash = latest?.hashes.get(this.#self);
    if (latest === undefined || hash === undefined) return messages;
    const stateHash: RaftStateHash = { index: latest.index, hash };
    return messages.map((m) =>
      m.type === RaftMessageType.HEARTBEAT_RESPONSE && !m.reject ? { ...m, stateHash } : m,
    );
  }

  // At the leader ----------------------------------------------------------------------------------------

  onReceive({ from, stateHash }: RaftMessage): void {
    if (stateHash === undefined) return;
    const { index, hash: other } = stateHash;
    const comparison = this.#comparisons.find((c) => c.index === index);
    const own = comparison?.hashes.get(this.#self);
    if (comparison === undefined || own === undefined) return;
    comparison.hashes.set(from, other);
    this.#said.set(from, { index, own, other });
  }

  tick(): void {
    const { hooks, timers } = this.#c;
    const term = hooks.leadingTerm();
    if (term !== this.#term) this.#onTerm(term);
    if (term === undefined || this.#proposing) return;
    for (const comparison of this.#comparisons) this.#judge(comparison);
    const nowMs = timers.nowMs();
    if (nowMs < this.#nextCheckMs) return;
    this.#nextCheckMs = nowMs + this.#options.intervalMs;
    // Nothing was committed since but the check itself.
    if (hooks.commitIndex() > (this.#latest?.index ?? 0)) this.#propose(CHECK_STATE);
  }

  /** What others told an earlier leader, or this one long ago, they tell again. */
  #onTerm(term: number | undefined): void {
    this.#term = term;
    this.#said.clear();
    for (const comparison of this.#comparisons) {
      for (const id of [...comparison.hashes.keys()]) if (id !== this.#self) comparison.hashes.delete(id);
      comparison.differentSinceMs = undefined;
      comparison.judged = false;
    }
  }

  #judge(comparison: Comparison): void {
    const { hooks, timers, logger } = this.#c;
    const { index, hashes } = comparison;
    const members = [...hooks.voters(), ...hooks.learners()];
    const told = members.filter((id) => hashes.has(id));
    if (comparison.judged || new Set(told.map((id) => hashes.get(id))).size < 2) return;
    comparison.differentSinceMs ??= timers.nowMs();
    const waited = timers.nowMs() - comparison.differentSinceMs >= this.#options.waitMs;
    if (told.length < members.length && !waited) return;
    comparison.judged = true;
    const byServer = Object.fromEntries(told.map((id) => [id, hashText(hashes.get(id)!)]));
    const agreed = this.#majority(hashes);
    if (agreed === undefined) {
      logger.error(
        { index, hashes: byServer },
        'the rows of the replicas differ, and no majority has the same: dump the metadata of each stopped server (ringfs meta dump) before anything else',
      );
      return;
    }
    const diverged = told.filter((id) => hashes.get(id) !== agreed);
    logger.error(
      { index, hashes: byServer, diverged },
      'the rows of a replica differ from those of the others: it stops; remove it (ringfs cluster remove) and add it again with an empty folder meta',
    );
    const body = { $case: 'stateVerdict' as const, value: { index, hash: agreed } };
    this.#propose(Command.encode({ body }).finish(), () => {
      comparison.judged = false;
    });
  }

  #majority(hashes: ReadonlyMap<string, number>): number | undefined {
    const voters = this.#c.hooks.voters();
    const counts = new Map<number, number>();
    for (const id of voters) {
      const hash = hashes.get(id);
      if (hash !== undefined) counts.set(hash, (counts.get(hash) ?? 0) + 1);
    }
    for (const [hash, count] of counts) if (count > voters.length / 2) return hash;
    return undefined;
  }

  #propose(command: Uint8Array, onLost?: () => void): void {
    this.#proposing = true;
    this.#c.hooks
      .propose(command)
      .catch((error: unknown) => {
        this.#c.logger.debug({ err: error }, 'a comparison of the states is made later');
        onLost?.();
      })
      .finally(() => {
        this.#proposing = false;
      });
  }

  // For people ---------------------------------------------------------------------------------------------

  status(): StateCheckStatus | undefined {
    const latest = this.#latest;
    if (latest === undefined) return undefined;
    const own = latest.hashes.get(this.#self)!;
    const agreed: string[] = [];
    for (const [id, hash] of latest.hashes) if (hash === own) agreed.push(id);
    const leads = this.#c.hooks.leadingTerm() !== undefined;
    return {
      index: latest.index,
      hash: hashText(own),
      agreed: leads ? agreed.sort() : [],
      diverged: this.#different().map(([id]) => id),
    };
  }

  /** At the leader: something for an operator, or undefined. */
  alarm(): string | undefined {
    const different = this.#different();
    if (different.length === 0) return undefined;
    const each = different.map(
      ([id, { index, own, other }]) =>
        `${id} (hash ${hashText(other)} at log index ${index}, here ${hashText(own)})`,
    );
    return `the rows of this replica differ from those of ${each.join(', ')}: see the logs of both`;
  }

  /** Members whose last word was another hash than this replica's. */
  #different(): [string, Said][] {
    const { hooks } = this.#c;
    if (hooks.leadingTerm() === undefined) return [];
    const members = new Set([...hooks.voters(), ...hooks.learners()]);
    return [...this.#said].filter(([id, { own, other }]) => members.has(id) && own !== other);
  }
}
