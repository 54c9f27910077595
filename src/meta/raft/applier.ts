import { assert, defined } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import {
  APPLY_BATCH_BYTES_MAX,
  APPLY_BATCH_ENTRIES_MAX,
  APPLY_DELAY_MS,
  APPLY_WRITE_DELAY_MS,
  APPLY_WRITE_ENTRIES_MAX,
  ROW_CACHE_BYTES_MAX,
} from '../../base/limits.ts';
import { applyCommand, decodeCommand, prefetchKeys } from '../../core/namespace/apply.ts';
import { addHash } from '../../core/namespace/row-hash.ts';
import { RowView } from '../../core/namespace/row-view.ts';
import { RowNotLoaded } from '../../core/namespace/types.ts';
import type { Command, StateVerdict } from '../../gen/ringfs/v1/namespace.ts';
import { EntryType, type RaftConfState, type RaftEntry } from '../../gen/ringfs/v1/raft.ts';
import type { TimerHandle, Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Applied } from '../replica.ts';
import type { Failpoint } from './failpoint.ts';
import type { LogMark, StateStore } from './state-store.ts';

export interface ApplierHooks {
  /** Whether somebody waits for what is applied here: true at the leader, where clients are answered. */
  isAwaited(): boolean;
  /** Whether nobody waits for the state to have what was applied: outcomes are told before. Who begins to wait calls `hurry`. */
  mayWriteLater(): boolean;
  /** Tells the core about a configuration change and returns the new configuration. */
  applyConfChange(data: Uint8Array): RaftConfState;
  /** What a batch gave is certain, since it is committed, but not in the state yet. `outcomes` has those entries that carried
   * a command. */
  onOutcomes(entries: readonly RaftEntry[], outcomes: readonly Applied[]): void;
  /** The rows had this hash right after the CheckState command at `index`. */
  onStateHash(index: number, hash: number): void;
  /** Throws StateDivergedError when this replica had other rows: it applies nothing more then. */
  onStateVerdict(verdict: StateVerdict): void;
  /** The batch is in the state. */
  onBatch(entries: readonly RaftEntry[]): void;
  /** The disk is full. Resolves when it should be tried again; rejects to give up. */
  onNoSpace(error: unknown): Promise<void>;
  /** Writing works again. */
  onSpace(): void;
  /** Nothing more is applied until the process is started again. */
  onFatal(error: unknown): void;
}

export interface ApplierComponents {
  readonly store: StateStore;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
  readonly hooks: ApplierHooks;
}

/** What was applied to the view and is not in the store yet. */
interface Unwritten {
  readonly entries: RaftEntry[];
  mark: LogMark;
}

/**
 * Applies committed entries in order, batch by batch, beside the loop that persists the next ones. At a follower nobody waits for
 * them: they are gathered for up to APPLY_DELAY_MS, so that a busy follower reads and writes its state once for many entries. A
 * leader applies at once, because outcomes are waited for, and writes the state a little later, once for many entries; what a
 * crash takes is applied again from the log.
 */
export class Applier {
  readonly #components: ApplierComponents;
  readonly #view = new RowView({ cacheBytesMax: ROW_CACHE_BYTES_MAX });
  #queue: RaftEntry[] = [];
  #queuedBytes = 0;
  #unwritten: Unwritten | undefined;
  #writeDelay: TimerHandle | undefined;
  #writeDue = false;
  #handed: number;
  /** Commands of entries that were decoded before their turn. */
  readonly #decoded = new WeakMap<RaftEntry, Command>();
  /** Changes whenever rows may have: what was read from the store before is not to be trusted then. */
  #generation = 0;
  #prefetching: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #delay: TimerHandle | undefined;
  #halted = false;

  constructor(components: ApplierComponents) {
    this.#components = components;
    this.#handed = components.store.applied.index;
  }

  /** Bytes of entries handed over and not yet applied. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  enqueue(entries: readonly RaftEntry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.#handed + 1, 'entries are applied in order and without gaps');
      this.#handed = entry.index;
      this.#queuedBytes += entry.data.length;
      this.#queue.push(entry);
    }
    const { hooks, timers } = this.#components;
    if (hooks.isAwaited() || this.#queue.length >= APPLY_BATCH_ENTRIES_MAX) this.#start();
    else if (this.#queue.length > 0) this.#delay ??= timers.after(APPLY_DELAY_MS, () => this.#start());
  }

  #start(): void {
    this.#delay?.cancel();
    this.#delay = undefined;
    if (!this.#halted && (this.#queue.length > 0 || this.#writeDue)) this.#running ??= this.#run();
  }

  /** Somebody waits until the state has everything that was handed over. */
  hurry(): void {
    this.#writeDelay?.cancel();
    this.#writeDelay = undefined;
    this.#writeDue = this.#unwritten !== undefined || this.#queue.length > 0;
    this.#start();
  }

  /**
   * These are being persisted, and are probably applied next: read the rows that they need meanwhile. Only while nothing
   * is being applied, when the view and the store together are up to date.
   */
  prefetch(entries: readonly RaftEntry[]): void {
    if (this.#running !== undefined || this.#prefetching !== undefined || this.#halted) return;
    if (this.#queue.length > 0 || !this.#components.hooks.isAwaited()) return;
    const keys = entries.slice(0, APPLY_BATCH_ENTRIES_MAX).flatMap((entry) => {
      const command = this.#command(entry, true);
      return command === undefined ? [] : prefetchKeys(command);
    });
    const missing = this.#view.missing(keys);
    if (missing.length === 0) return;
    const generation = this.#generation;
    this.#prefetching = this.#components.store.view.getMany(missing).then(
      (values) => {
        this.#prefetching = undefined;
        if (this.#generation !== generation) return;
        for (let at = 0; at < missing.length; at++) this.#view.load(missing[at]!, values[at]);
      },
      () => {
        // Read again, and the failure reported, when they are applied.
        this.#prefetching = undefined;
      },
    );
  }

  /** Decoded once, for the prefetch or for its turn; not kept beyond that, since the log keeps its entries for long. */
  #command(entry: RaftEntry, keep: boolean): Command | undefined {
    if (entry.type !== EntryType.NORMAL || entry.data.length === 0) return undefined;
    const command = this.#decoded.get(entry) ?? decodeCommand(entry.data);
    if (keep) this.#decoded.set(entry, command);
    else this.#decoded.delete(entry);
    return command;
  }

  /** Resolves when all that was handed over is in the state, or nothing will be applied any more. */
  async idle(): Promise<void> {
    this.hurry();
    await this.#running;
  }

  /** The store was replaced by an installed snapshot. Only while idle. */
  restart(): void {
    assert(this.#running === undefined && this.#queue.length === 0, 'the state is replaced between batches');
    this.#generation += 1;
    this.#view.clear();
    this.#handed = this.#components.store.applied.index;
  }

  /** Stops after the batch in work. What is left is applied after the next start. */
  async stop(): Promise<void> {
    this.#halted = true;
    this.#delay?.cancel();
    this.#writeDelay?.cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#halted) {
        if (this.#queue.length > 0) await this.#applyBatch(this.#takeBatch());
        else this.#writeDue &&= this.#unwritten !== undefined;
        if (this.#unwritten === undefined) {
          if (this.#queue.length === 0) break;
        } else if (this.#writeDue || this.#isWriteDue(this.#unwritten)) {
          await this.#writeApplied(this.#unwritten);
        } else if (this.#queue.length === 0) {
          this.#writeDelay ??= this.#components.timers.after(APPLY_WRITE_DELAY_MS, () => this.hurry());
          break;
        }
      }
    } catch (error) {
      this.#halted = true;
      this.#components.hooks.onFatal(error);
    } finally {
      this.#running = undefined;
    }
  }

  #takeBatch(): RaftEntry[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < APPLY_BATCH_ENTRIES_MAX) {
      bytes += this.#queue[count]!.data.length;
      if (count > 0 && bytes > APPLY_BATCH_BYTES_MAX) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #applyBatch(entries: readonly RaftEntry[]): Promise<void> {
    const { store, failpoint, hooks } = this.#components;
    failpoint('before-apply');
    const commands = entries.map((entry) => this.#command(entry, false));
    await this.#prefetching;
    this.#generation += 1;
    await this.#load(commands.flatMap((c) => (c === undefined ? [] : prefetchKeys(c))));
    const outcomes: Applied[] = [];
    let { confState } = this.#unwritten?.mark ?? store.applied;
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at]!;
      if (entry.type === EntryType.CONF_CHANGE) confState = hooks.applyConfChange(entry.data);
      const command = commands[at];
      if (command === undefined) continue;
      outcomes.push(await this.#applyCommand(entry, command));
      await this.#checkState(entry.index, command);
    }
    hooks.onOutcomes(entries, outcomes);
    const { index, term } = entries.at(-1)!;
    this.#unwritten ??= { entries: [], mark: store.applied };
    this.#unwritten.entries.push(...entries);
    this.#unwritten.mark = { index, term, confState };
  }

  #isWriteDue({ entries }: Unwritten): boolean {
    return entries.length >= APPLY_WRITE_ENTRIES_MAX || !this.#components.hooks.mayWriteLater();
  }

  async #writeApplied(unwritten: Unwritten): Promise<void> {
    const { failpoint, hooks } = this.#components;
    this.#writeDelay?.cancel();
    this.#writeDelay = undefined;
    await this.#write(unwritten.mark);
    this.#unwritten = undefined;
    for (const entry of unwritten.entries) this.#queuedBytes -= entry.data.length;
    failpoint('after-apply');
    hooks.onBatch(unwritten.entries);
  }

  async #applyCommand(entry: RaftEntry, command: Command): Promise<Applied> {
    const { index, term } = entry;
    for (;;) {
      try {
        return { index, term, outcome: applyCommand(this.#view, index, command) };
      } catch (error) {
        if (!(error instanceof RowNotLoaded)) throw error;
        await this.#load(error.keys);
      }
    }
  }

  async #checkState(index: number, { body }: Command): Promise<void> {
    const { hooks } = this.#components;
    if (body?.$case === 'checkState') hooks.onStateHash(index, await this.#stateHash());
    if (body?.$case === 'stateVerdict') hooks.onStateVerdict(body.value);
  }

  /** Of the rows with what was applied to them, written or not. */
  async #stateHash(): Promise<number> {
    const { store } = this.#components;
    const unread = this.#view.unread();
    const values = unread.length === 0 ? [] : await store.view.getMany(unread);
    for (let at = 0; at < unread.length; at++) this.#view.loadStored(unread[at]!, values[at]);
    return addHash(defined(store.applied.stateHash, 'found out by recovery'), this.#view.hashChange());
  }

  async #load(keys: readonly Uint8Array[]): Promise<void> {
    const missing = this.#view.missing(keys);
    if (missing.length === 0) return;
    const values = await this.#components.store.view.getMany(missing);
    for (let at = 0; at < missing.length; at++) this.#view.load(missing[at]!, values[at]);
  }

  async #write(mark: LogMark): Promise<void> {
    const { store, hooks } = this.#components;
    const applied = { ...mark, stateHash: await this.#stateHash() };
    const writes = this.#view.takeWrites();
    let failed = false;
    for (;;) {
      try {
        if (failed) await store.reopen();
        await store.write(writes, applied);
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
