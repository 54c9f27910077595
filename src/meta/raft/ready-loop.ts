import { FsError } from '../../base/errno.ts';
import { COMMIT_MARK_LAG_MAX } from '../../base/limits.ts';
import type { LatencyHistogram } from '../../base/request-stats.ts';
import { mayPrecedePersistence } from '../../core/raft/messages.ts';
import type { RawNode } from '../../core/raft/raw-node.ts';
import type { HardState, Ready } from '../../core/raft/types.ts';
import { EntryType, type RaftEntry, type RaftMessage } from '../../gen/ringfs/v1/raft.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Applier } from './applier.ts';
import type { Failpoint } from './failpoint.ts';
import type { RaftLogStore } from './log-store.ts';

export interface ReadyLoopHooks {
  /** First thing for every Ready: roles and read points. */
  onReady(ready: Ready): void;
  send(messages: readonly RaftMessage[]): void;
  onNoSpace(error: unknown): Promise<void>;
  onSpace(): void;
  onFatal(error: unknown): void;
}

export interface ReadyLoopComponents {
  readonly core: RawNode;
  readonly log: RaftLogStore;
  readonly applier: Applier;
  readonly failpoint: Failpoint;
  readonly timers: Pick<Clock, 'nowMs'>;
  /** Told how long each synced write took. */
  readonly logWrites: LatencyHistogram;
  readonly hooks: ReadyLoopHooks;
}

const isEmpty = ({ type, data }: RaftEntry): boolean => type === EntryType.NORMAL && data.length === 0;

/**
 * One Ready at a time: persist, send, hand over to be applied, advance. What is proposed and received during a sync goes
 * into the next Ready together.
 */
export class ReadyLoop {
  readonly #components: ReadyLoopComponents;
  readonly #tasks: (() => Promise<void>)[] = [];
  /** As the core last said; written with a later batch when only the commit index differs. */
  #hardState: HardState;
  #running: Promise<void> | undefined;
  #halted = false;

  constructor(components: ReadyLoopComponents) {
    this.#components = components;
    this.#hardState = components.log.hardState;
  }

  /** There may be something to do. */
  kick(): void {
    if (this.#halted) return;
    this.#running ??= this.#run();
  }

  /** Runs `task` between two Readies, while nothing else touches the log. Rejects when the loop has ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#tasks.push(async () => {
        try {
          if (this.#halted) throw new FsError('EIO', 'the replica is stopped');
          resolve(await task());
        } catch (error) {
          reject(error as Error);
        }
      });
      this.#running ??= this.#run();
    });
  }

  /** Takes no further Ready. */
  halt(): void {
    this.#halted = true;
  }

  /** Finishes the Ready in work. */
  async stop(): Promise<void> {
    this.halt();
    await this.#running;
  }

  /** Writes what was put off. After `stop`. */
  async flush(): Promise<void> {
    const { log } = this.#components;
    const stored = log.hardState;
    if (this.#hardState.term !== stored.term || this.#hardState.commit <= stored.commit) return;
    await log.append([], this.#hardState, { sync: true });
  }

  async #run(): Promise<void> {
    // What is proposed or received in this turn of the event loop shares the first Ready.
    await Promise.resolve();
    try {
      for (;;) {
        const task = this.#tasks.shift();
        if (task !== undefined) await task();
        else if (!this.#halted && this.#components.core.hasReady()) await this.#turn();
        else break;
      }
    } catch (error) {
      this.#halted = true;
      this.#components.hooks.onFatal(error);
    } finally {
      this.#running = undefined;
      if (this.#tasks.length > 0) this.#running = this.#run();
    }
  }

  async #turn(): Promise<void> {
    const { core, log, applier, hooks, failpoint } = this.#components;
    const ready = core.ready();
    const stored = log.hardState;
    const hardState = ready.hardState ?? this.#hardState;
    this.#hardState = hardState;
    hooks.onReady(ready);
    const voteChanged = hardState.term !== stored.term || hardState.votedFor !== stored.votedFor;
    const mustPersist = ready.entries.length > 0 || voteChanged;
    const stableEnd = ready.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    if (!mustPersist) {
      this.#send(ready.messages);
      applier.enqueue(ready.committedEntries);
    } else {
      // A leader's followers write while it writes itself (thesis, 10.2.1): it counts itself only after `advance`. Not
      // in the Ready that makes it leader, which would be forgotten with the term if this process died now.
      const isEarly = (m: RaftMessage): boolean => !voteChanged && mayPrecedePersistence(m);
      this.#send(ready.messages.filter(isEarly));
      applier.enqueue(ready.committedEntries.filter((e) => e.index < stableEnd));
      applier.prefetch(ready.entries);
      failpoint('before-persist');
      await this.#persist(ready, hardState);
      failpoint('after-persist');
      this.#send(ready.messages.filter((m) => !isEarly(m)));
      applier.enqueue(ready.committedEntries.filter((e) => e.index >= stableEnd));
    }
    // The core takes what it handed out for applied, and a change of membership it must have heard of before it acts on.
    if (ready.committedEntries.some((e) => e.type === EntryType.CONF_CHANGE)) await applier.idle();
    core.advance(ready);
  }

  #send(messages: readonly RaftMessage[]): void {
    if (messages.length === 0) return;
    this.#components.failpoint('before-send');
    this.#components.hooks.send(messages);
  }

  async #persist(ready: Ready, hardState: HardState): Promise<void> {
    const { log, hooks, timers, logWrites } = this.#components;
    const changed = hardState.term !== log.hardState.term || hardState.votedFor !== log.hardState.votedFor;
    // The commit index on disk is only a hint for the next start, which finds out anyway: not worth a row with every entry. An
    // empty entry takes it along: a majority that has one knows, also after a power loss, which members there are before it.
    const behind = hardState.commit - log.hardState.commit;
    const due = behind >= COMMIT_MARK_LAG_MAX || (behind > 0 && ready.entries.some(isEmpty));
    const write = changed || due ? hardState : undefined;
    let failed = false;
    for (;;) {
      try {
        if (failed) await log.reopen();
        const startMs = timers.nowMs();
        await log.append(ready.entries, write, { sync: true });
        logWrites.note(timers.nowMs() - startMs);
        if (failed) hooks.onSpace();
        return;
      } catch (error) {
        if (!(error instanceof FsError && error.code === 'ENOSPC')) throw error;
        failed = true;
        await hooks.onNoSpace(error);
      }
    }
  }
}
