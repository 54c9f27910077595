import { EMPTY_BYTES } from '../base/bytes.ts';
import { asFsError, type ErrnoName, FsError } from '../base/errno.ts';
import {
  COMMIT_MISSING_TRIES_MAX,
  VFS_BATCHES_MAX,
  VFS_BATCHES_PER_COMMIT_MAX,
  VFS_CLOSED_FLUSH_ATTEMPTS_MAX,
  VFS_CROWDED_ATTEMPTS_MAX,
  VFS_CROWDED_EXTENTS_MAX,
  VFS_EXTENTS_PER_COMMIT_MAX,
  VFS_FAILED_FLUSH_ATTEMPTS_MAX,
  VFS_FLUSHES_MAX,
  VFS_RETRY_DELAY_MS_MAX,
} from '../base/limits.ts';
import type { Op } from '../gen/ringfs/v1/namespace.ts';
import type { TimerHandle } from '../ports/clock.ts';
import { BlocksMissing } from '../ports/meta-service.ts';
import { type Batch, isStored } from './batch.ts';
import { type BatchCommit, commitAppendAgain, commitBatches } from './batch-commit.ts';
import { cutIntoBlocks } from './block-cutter.ts';
import type { Compactor } from './compaction.ts';
import type { Committed, VfsCore } from './core.ts';
import type { InodeState } from './inode-state.ts';
import { forEachLimited, interruptible } from './wait.ts';

/** What a flush is to commit together with the data. */
export interface FlushRequest {
  readonly extra?: readonly Op[];
  /** `extra` sets the size to this: data that would be cut off again is not written. */
  readonly truncateTo?: number;
  /** `extra` changes the content in another way: its layout is asked for again. */
  readonly reshapes?: boolean;
}

/** The bytes are kept and tried again; everything else can never succeed. */
const WORTH_RETRYING: ReadonlySet<ErrnoName> = new Set([
  'ENOSPC',
  'EDQUOT',
  'ETIMEDOUT',
  'EAGAIN',
  'EINTR',
  'EIO',
]);

export interface WriteBackCounters {
  commits: number;
  blocksPut: number;
  bytesPut: number;
  failures: number;
  bytesLost: number;
}

/**
 * Moves unflushed data of all files to the ring and then into commits. Blocks are put in parallel and as soon as they are full;
 * the commits of one file happen one after another, in the order of the writes.
 */
export class WriteBack {
  readonly counters: WriteBackCounters = { commits: 0, blocksPut: 0, bytesPut: 0, failures: 0, bytesLost: 0 };
  readonly #core: VfsCore;
  readonly #compactor: Compactor;
  readonly #tasks = new Set<Promise<void>>();
  #timer: TimerHandle | undefined;
  #relief: Promise<void> | undefined;
  #closed = false;

  constructor(core: VfsCore, compactor: Compactor) {
    this.#core = core;
    this.#compactor = compactor;
  }

  /** Room for `bytes` more of unflushed data; waits for flushes when there is none. Throws when those fail. */
  async reserve(state: InodeState, bytes: number, signal?: AbortSignal): Promise<void> {
    const { budget } = this.#core;
    while (!budget.tryReserve(bytes)) {
      const released = budget.released;
      const relief = this.#relieve();
      await interruptible(Promise.race([budget.nextRelease(), relief]), signal);
      if (budget.released !== released || this.#relief === relief) continue;
      const stuck = state.lastError ?? this.#core.inodes.dirty().find((s) => s.lastError)?.lastError;
      throw new FsError(stuck?.code ?? 'ETIMEDOUT', 'no room for unflushed data', { cause: stuck });
    }
  }

  /** Call after a write to `state`: full blocks start on their way, the rest within the write-back delay. */
  wrote(state: InodeState): void {
    this.#storeThrough(state, state.lastSequence);
    if (state.batches.length > VFS_BATCHES_MAX) this.#background(state, state.lastSequence);
    this.#arm();
  }

  /**
   * Everything written to the file before this call is durable when it resolves, and `extra` is applied after it, if possible in
   * the same commit. Without unflushed data and `extra` there is no round trip. Throws what went wrong, after recording it for
   * the other handles.
   */
  async flush(state: InodeState, request: FlushRequest = {}): Promise<Committed | undefined> {
    state.freezeAll();
    return await this.#flushThrough(state, state.lastSequence, request);
  }

  /** Tries to flush everything once. Failures stay recorded on their inodes. */
  async flushAll(): Promise<void> {
    await forEachLimited(this.#core.inodes.dirty(), VFS_FLUSHES_MAX, (state) => this.#tryFlush(state));
  }

  /** After the last close of a file: once now, then in the background. Never rejects. */
  async flushClosed(state: InodeState): Promise<void> {
    await this.#tryFlush(state);
  }

  /** Forgets unflushed data of a file that nobody can reach any more. */
  discard(state: InodeState): void {
    this.#core.budget.release(state.dropAll());
    this.#core.inodes.collect(state);
  }

  /** Waits for what runs in the background and starts nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  #arm(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = this.#core.timers.after(this.#core.options.writeBackDelayMs, () => {
      this.#timer = undefined;
      const now = this.#core.timers.nowMs();
      const dirty = this.#core.inodes.dirty();
      const due = dirty.filter((s) => !s.flushing && s.retryAtMs <= now && !(s.removed && s.handles > 0));
      // Of a streamed file what is full is committed, and the rest left to be filled.
      const streamed = new Set(due.filter((state) => state.streams()));
      for (const state of streamed) this.#background(state, state.lastSequence);
      const rest = due.filter((state) => !streamed.has(state));
      this.#spawn(forEachLimited(rest, VFS_FLUSHES_MAX, (state) => this.#tryFlush(state)));
      if (dirty.length > 0) this.#arm();
    });
  }

  #spawn(task: Promise<void>): void {
    const tracked = task
      .catch((thrown: unknown) => this.#core.logger.error({ err: thrown }, 'background work failed'))
      .finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
  }

  async #tryFlush(state: InodeState): Promise<void> {
    state.flushing = true;
    try {
      await this.flush(state);
    } catch {
      // Recorded and logged where it happened.
    } finally {
      state.flushing = false;
      this.#core.inodes.collect(state);
    }
  }

  /** Commits the batches up to `through` without cutting the block that is being written. */
  #background(state: InodeState, through: number): void {
    if (state.flushing || this.#closed) return;
    state.flushing = true;
    const work = async (): Promise<void> => {
      try {
        await this.#flushThrough(state, through, {});
      } catch {
        // Recorded and logged where it happened.
      } finally {
        state.flushing = false;
        this.#core.inodes.collect(state);
      }
    };
    this.#spawn(work());
  }

  /** Makes room: what is on its way first, the blocks that are being written only when nothing else is left. */
  #relieve(): Promise<void> {
    if (this.#relief) return this.#relief;
    const states = this.#core.inodes.dirty();
    const under = states.filter((state) => state.batches.length > 0);
    const relief = forEachLimited(under.length > 0 ? under : states, VFS_FLUSHES_MAX, async (state) => {
      try {
        if (state.batches.length > 0) await this.#flushThrough(state, state.lastSequence, {});
        else await this.flush(state);
      } catch {
        // Recorded and logged where it happened.
      }
    }).finally(() => {
      this.#relief = undefined;
    });
    this.#relief = relief;
    return relief;
  }

  async #flushThrough(
    state: InodeState,
    through: number,
    request: FlushRequest,
  ): Promise<Committed | undefined> {
    const extra = request.extra ?? [];
    if (extra.length === 0 && !hasBatches(state, through)) return undefined;
    if (request.truncateTo !== 0) this.#storeThrough(state, through);
    return await state.commitLock.run(() => this.#commitThrough(state, through, request));
  }

  /** The caller holds the commit lock. */
  async #commitThrough(
    state: InodeState,
    through: number,
    request: FlushRequest,
  ): Promise<Committed | undefined> {
    const { extra = [], truncateTo, reshapes = false } = request;
    let last: Committed | undefined;
    let apart = false;
    let uploads = 0;
    while (extra.length > 0 || hasBatches(state, through)) {
      const doomed = doomedBatches(state, through, truncateTo);
      const group = await this.#nextGroup(state, through, doomed, extra.length === 0);
      const taken = new Set([...group, ...doomed]);
      const isLast = !state.batches.some((batch) => batch.sequence <= through && !taken.has(batch));
      const together = isLast && !apart && !group.some((batch) => batch.uncertainFrom !== undefined);
      if (extra.length > 0 && (together || group.length === 0)) {
        try {
          return await this.#commitNow(state, group, { extra, doomed, truncateTo, reshapes });
        } catch (thrown) {
          const error = asFsError(thrown);
          if (error instanceof BlocksMissing && uploads++ < COMMIT_MISSING_TRIES_MAX) {
            uploadAgain(group);
            continue;
          }
          if (group.length === 0) throw error;
          if (WORTH_RETRYING.has(error.code)) throw this.#failed(state, error);
          // Either may be to blame: apart, the data gets its chance and the caller the right answer.
          apart = true;
          continue;
        }
      }
      if (group.length === 0) continue;
      try {
        last = await this.#commit(state, group);
      } catch (thrown) {
        if (!(thrown instanceof BlocksMissing) || uploads++ >= COMMIT_MISSING_TRIES_MAX) throw thrown;
        uploadAgain(group);
      }
    }
    return last;
  }

  /** Undefined: nothing was committed that is known now; look at what is left. */
  async #commit(state: InodeState, group: readonly Batch[]): Promise<Committed | undefined> {
    try {
      const uncertain = group.find((batch) => batch.uncertainFrom !== undefined);
      if (uncertain) {
        await commitAppendAgain(this.#core, state, uncertain);
        return undefined;
      }
      return await this.#commitNow(state, group, {});
    } catch (thrown) {
      const error = asFsError(thrown);
      if (error instanceof BlocksMissing) throw error;
      if (error.code !== 'E2BIG' || state.crowdedAttempts >= VFS_CROWDED_ATTEMPTS_MAX) {
        throw this.#failed(state, error);
      }
      await this.#makeRoom(state, group);
      return undefined;
    }
  }

  /** A chunk of the file has too many extents for these: from now on fewer at a time, after the chunk has been rewritten. */
  async #makeRoom(state: InodeState, group: readonly Batch[]): Promise<void> {
    state.crowdedAttempts++;
    try {
      await this.#compactor.compactChunks(state, group);
      for (const batch of group) state.divideBatch(batch, VFS_CROWDED_EXTENTS_MAX);
    } catch (thrown) {
      throw this.#failed(state, asFsError(thrown));
    }
  }

  async #commitNow(
    state: InodeState,
    group: readonly Batch[],
    rest: Pick<BatchCommit, 'extra' | 'doomed' | 'truncateTo' | 'reshapes'>,
  ): Promise<Committed> {
    const ok = await commitBatches(this.#core, state, { group, ...rest });
    this.counters.commits++;
    state.failedAttempts = 0;
    state.retryAtMs = 0;
    if (!state.dirty) state.crowdedAttempts = 0;
    this.#compactor.wrote(state, group);
    return ok;
  }

  /** The next batches to commit together, stored. Waits for those up to `through`; later ones come along when they are ready. */
  async #nextGroup(
    state: InodeState,
    through: number,
    doomed: ReadonlySet<Batch>,
    laterToo: boolean,
  ): Promise<Batch[]> {
    const group: Batch[] = [];
    const extentsMax = state.crowdedAttempts > 0 ? VFS_CROWDED_EXTENTS_MAX : VFS_EXTENTS_PER_COMMIT_MAX;
    let extents = 0;
    for (const batch of state.batches.slice()) {
      if (doomed.has(batch)) continue;
      if (batch.sequence > through && !laterToo) break;
      if (!isStored(batch)) {
        if (batch.sequence > through) break;
        await this.#stored(state, batch);
        // Dropped while it was waited for: the last handle of an unlinked file was closed.
        if (!state.batches.includes(batch)) continue;
      }
      const uncertain = batch.uncertainFrom !== undefined;
      if (group.length > 0 && (uncertain || extents + batch.buffer.runCount > extentsMax)) break;
      group.push(batch);
      extents += batch.buffer.runCount;
      if (uncertain || group.length >= VFS_BATCHES_PER_COMMIT_MAX) break;
    }
    return group.filter((batch) => state.batches.includes(batch));
  }

  async #stored(state: InodeState, batch: Batch): Promise<void> {
    this.#store(state, batch);
    if (batch.storage.state !== 'blocks') return;
    const failure = await batch.storage.attempt;
    if (failure) throw this.#failed(state, failure);
  }

  #storeThrough(state: InodeState, through: number): void {
    for (const batch of state.batches) if (batch.sequence <= through) this.#store(state, batch);
  }

  #store(state: InodeState, batch: Batch): void {
    const { options } = this.#core;
    if (batch.storage.state === 'waiting') {
      if (state.size() <= options.inlineFileBytesMax) {
        batch.storage = { state: 'inline' };
        return;
      }
      const planned = cutIntoBlocks(batch.buffer.runs(), options.blockSizeBytes);
      const uploadedAt = this.#core.meta.seenIndex();
      batch.storage = { state: 'blocks', planned, stored: [], uploadedAt, attempt: undefined, done: false };
    }
    const { storage } = batch;
    if (storage.state !== 'blocks' || storage.done || storage.attempt) return;
    storage.attempt = this.#putBlocks(state, batch, storage);
  }

  /** Never rejects. */
  async #putBlocks(
    state: InodeState,
    batch: Batch,
    storage: Extract<Batch['storage'], { state: 'blocks' }>,
  ): Promise<FsError | undefined> {
    let failure: FsError | undefined;
    await Promise.all(
      storage.planned.map(async (block, i) => {
        if (storage.stored[i]) return;
        const { data } = block;
        try {
          storage.stored[i] = await state.putSlots.run(() => this.#core.blocks.put(data));
          this.counters.blocksPut++;
          this.counters.bytesPut += data.length;
          // The overlay has its own reference; a packed block would be held twice.
          storage.planned[i] = { ...block, data: EMPTY_BYTES };
        } catch (thrown) {
          failure ??= asFsError(thrown);
        }
      }),
    );
    storage.attempt = undefined;
    if (failure) return failure;
    storage.done = true;
    if (state.batches.includes(batch)) this.#commitStoredPrefix(state);
    return undefined;
  }

  /** A streaming writer's blocks are committed a few at a time. */
  #commitStoredPrefix(state: InodeState): void {
    let bytes = 0;
    let through = 0;
    for (const batch of state.batches) {
      if (!isStored(batch)) break;
      bytes += batch.bytes;
      through = batch.sequence;
    }
    if (bytes >= this.#core.options.commitBytesMin || (bytes > 0 && this.#core.budget.contended)) {
      this.#background(state, through);
    }
  }

  #failed(state: InodeState, error: FsError): FsError {
    const { timers, options, logger } = this.#core;
    this.counters.failures++;
    state.recordError(error);
    state.failedAttempts++;
    const delay = Math.min(VFS_RETRY_DELAY_MS_MAX, options.retryDelayMs * 2 ** (state.failedAttempts - 1));
    state.retryAtMs = timers.nowMs() + delay;
    logger.warn(
      { ino: state.ino, errno: error.code, err: error, attempt: state.failedAttempts },
      'write-back failed',
    );
    if (this.#isHopeless(state, error)) {
      const bytes = state.dropAll();
      this.#core.budget.release(bytes);
      if (!(state.removed || error.code === 'ESTALE')) this.#core.logLoss(state, bytes, error);
      this.counters.bytesLost += bytes;
    } else {
      this.#arm();
    }
    return error;
  }

  #isHopeless(state: InodeState, error: FsError): boolean {
    if (!WORTH_RETRYING.has(error.code)) return true;
    if (error.code === 'EIO' && state.failedAttempts >= VFS_FAILED_FLUSH_ATTEMPTS_MAX) return true;
    return state.handles === 0 && state.failedAttempts >= VFS_CLOSED_FLUSH_ATTEMPTS_MAX;
  }
}

/** What was put for these may have been deleted before the commit came. */
function uploadAgain(group: readonly Batch[]): void {
  for (const batch of group) if (batch.storage.state === 'blocks') batch.storage = { state: 'waiting' };
}

function hasBatches(state: InodeState, through: number): boolean {
  return state.batches.some((batch) => batch.sequence <= through);
}

/** Batches that setting the size to `truncateTo` makes pointless. Not below an append, whose place depends on them. */
function doomedBatches(
  state: InodeState,
  through: number,
  truncateTo: number | undefined,
): ReadonlySet<Batch> {
  if (truncateTo === undefined) return new Set();
  const before = state.batches.filter((batch) => batch.sequence <= through);
  if (truncateTo === 0) return new Set(before);
  if (before.some((batch) => batch.kind === 'append')) return new Set();
  return new Set(before.filter((batch) => batch.buffer.start() >= truncateTo));
}
