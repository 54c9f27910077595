import { versionRefusal } from '../../base/format-version.ts';
import type { ServerId } from '../../base/ids.ts';
import { SNAPSHOT_SENDS_MAX, STORAGE_RETRY_MS } from '../../base/limits.ts';
import type { RaftSnapshotMeta, SnapshotHeader, SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { RaftTransport } from '../../ports/raft-transport.ts';
import { SnapshotRefusedError } from './errors.ts';
import type { Failpoint } from './failpoint.ts';
import { META_FORMAT_VERSION, META_VERSIONS } from './recovery.ts';
import { encodeSnapshot, readHeader, readRows } from './snapshot-stream.ts';
import type { StateInstall, StateStore } from './state-store.ts';

export interface SnapshotHooks {
  term(): number;
  /** Whether the core would take this snapshot now. */
  wants(meta: RaftSnapshotMeta): boolean;
  /** A send ended; the core is told. */
  onSent(to: ServerId, ok: boolean): void;
  /** Makes a complete state the live one unless it is stale. */
  install(meta: RaftSnapshotMeta, install: StateInstall): Promise<void>;
}

export interface SnapshotComponents {
  readonly transport: RaftTransport;
  readonly timers: Timers;
  readonly state: StateStore;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
  readonly hooks: SnapshotHooks;
}

export interface SnapshotIdentity {
  readonly id: ServerId;
  readonly clusterId: string;
}

/** Sends the state to followers that the log no longer reaches, and receives it as such a follower. */
export class SnapshotTransfers {
  readonly #components: SnapshotComponents;
  readonly #identity: SnapshotIdentity;
  readonly #sends = new Map<ServerId, Promise<void>>();
  #slots = SNAPSHOT_SENDS_MAX;
  readonly #waitingForSlot: (() => void)[] = [];
  #leadership = new AbortController();
  readonly #stopped = new AbortController();
  #receiving: Promise<void> | undefined;

  constructor(components: SnapshotComponents, identity: SnapshotIdentity) {
    this.#components = components;
    this.#identity = identity;
  }

  /** Some follower is getting a snapshot now. */
  get sending(): boolean {
    return this.#sends.size > 0;
  }

  send(to: ServerId): void {
    if (this.#sends.has(to) || this.#stopped.signal.aborted) return;
    const sent = this.#send(to, this.#leadership.signal).catch((error: unknown) => {
      this.#components.logger.error({ err: error, to }, 'lost track of a snapshot');
    });
    this.#sends.set(to, sent);
  }

  /** This replica leads no more: the next leader sends its own. */
  cancelSends(): void {
    this.#leadership.abort(new Error('not the leader any more'));
    this.#leadership = new AbortController();
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the replica stops'));
    this.cancelSends();
    await Promise.allSettled([...this.#sends.values(), this.#receiving]);
  }

  async #send(to: ServerId, signal: AbortSignal): Promise<void> {
    const { logger, hooks, timers } = this.#components;
    let ok = false;
    await this.#takeSlot();
    try {
      signal.throwIfAborted();
      await this.#stream(to, signal);
      ok = true;
    } catch (error) {
      if (!signal.aborted) logger.warn({ err: error, to }, 'could not send a snapshot');
    } finally {
      this.#freeSlot();
    }
    // The core asks again at once: not more often than this.
    if (!ok && !signal.aborted) await timers.sleep(STORAGE_RETRY_MS, signal).catch(() => undefined);
    this.#sends.delete(to);
    hooks.onSent(to, ok);
  }

  async #stream(to: ServerId, signal: AbortSignal): Promise<void> {
    const { transport, logger } = this.#components;
    const { index, parts } = await this.capture();
    try {
      logger.info({ to, index }, 'sending a snapshot');
      await transport.sendSnapshot(to, parts, signal);
      logger.info({ to, index }, 'sent a snapshot');
    } finally {
      await parts.return?.();
    }
  }

  /** The state as of now as a stream. The caller ends `parts`. */
  async capture(): Promise<{ readonly index: number; readonly parts: AsyncIterableIterator<SnapshotPart> }> {
    const { state, hooks, failpoint } = this.#components;
    failpoint('snapshot-save');
    const { applied, rows } = await state.scanAll();
    const header: SnapshotHeader = {
      clusterId: this.#identity.clusterId,
      from: this.#identity.id,
      term: hooks.term(),
      meta: applied,
      formatVersion: META_FORMAT_VERSION,
    };
    return { index: applied.index, parts: endedWith(encodeSnapshot(header, rows), rows) };
  }

  async #takeSlot(): Promise<void> {
    if (this.#slots > 0) this.#slots--;
    else await new Promise<void>((resolve) => this.#waitingForSlot.push(resolve));
  }

  #freeSlot(): void {
    const next = this.#waitingForSlot.shift();
    if (next === undefined) this.#slots++;
    else next();
  }

  /** Resolves when the snapshot is the live state, or was not needed. Throws SnapshotRefusedError. */
  async receive(parts: AsyncIterable<SnapshotPart>): Promise<void> {
    if (this.#stopped.signal.aborted) throw new SnapshotRefusedError('the replica is stopping');
    if (this.#receiving !== undefined) throw new SnapshotRefusedError('already receiving a snapshot');
    const work = this.#receive(parts[Symbol.asyncIterator]());
    this.#receiving = work.then(
      () => undefined,
      () => undefined,
    );
    try {
      await work;
    } finally {
      this.#receiving = undefined;
    }
  }

  async #receive(parts: AsyncIterator<SnapshotPart>): Promise<void> {
    const { hooks, logger, state } = this.#components;
    const iterator = abortable(parts, this.#stopped.signal);
    try {
      const header = await readHeader(iterator);
      const meta = this.#check(header);
      if (!hooks.wants(meta)) return;
      logger.info({ from: header.from, index: meta.index }, 'receiving a snapshot');
      const install = await state.beginInstall();
      try {
        await readRows(iterator, (rows) => install.write(rows));
        await install.seal(meta);
        await hooks.install(meta, install);
      } finally {
        await install.abandon();
      }
      logger.info({ from: header.from, index: meta.index }, 'installed a snapshot');
    } finally {
      // Not waited for: a generator ends only when the part it waits for has come.
      Promise.resolve(parts.return?.()).catch(() => undefined);
    }
  }

  #check(header: SnapshotHeader): RaftSnapshotMeta {
    const { clusterId, formatVersion, meta, term } = header;
    if (clusterId !== this.#identity.clusterId) {
      throw new SnapshotRefusedError(`a snapshot of cluster ${clusterId}`);
    }
    const wrong = versionRefusal(formatVersion, META_VERSIONS);
    if (wrong !== undefined) throw new SnapshotRefusedError(`the snapshot ${wrong.problem}`);
    if (term < this.#components.hooks.term()) throw new SnapshotRefusedError('a snapshot of an old leader');
    if (meta?.confState === undefined || meta.confState.voters.length === 0 || meta.index < 1) {
      throw new SnapshotRefusedError('a snapshot without an index or a configuration');
    }
    return meta;
  }
}

/** Ending a generator that has not begun does not reach what it would read from. */
function endedWith<T>(
  parts: AsyncIterableIterator<T>,
  source: AsyncIterator<unknown>,
): AsyncIterableIterator<T> {
  const ended: AsyncIterableIterator<T> = {
    next: () => parts.next(),
    return: async () => {
      await parts.return?.();
      await source.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => ended,
  };
  return ended;
}

/** A sender that says nothing more must not keep the replica from stopping. */
function abortable<T>(parts: AsyncIterator<T>, signal: AbortSignal): AsyncIterator<T> {
  const next = (): Promise<IteratorResult<T>> =>
    new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      parts
        .next()
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', onAbort));
    });
  return { next };
}
