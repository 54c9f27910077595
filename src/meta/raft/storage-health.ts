import { STORAGE_RETRY_MS } from '../../base/limits.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { StateDivergedError } from './errors.ts';

export interface ReplicaHealth {
  readonly status: 'starting' | 'ok' | 'degraded' | 'stopping';
  readonly detail: string;
}

/** Which store cannot be written. */
export type StorageSource = 'log' | 'state';

/**
 * Whether the disk takes what the replica owes it. While it does not, the replica must not act: not tick, not answer, not lead. A full disk
 * is waited for; after any other failure nothing is known about what is on the disk, and only a new start finds out.
 */
export class StorageHealth {
  readonly #timers: Timers;
  readonly #logger: Logger;
  readonly #onChange: () => void;
  readonly #full = new Set<StorageSource>();
  #fatal: unknown;

  constructor(components: { readonly timers: Timers; readonly logger: Logger }, onChange: () => void) {
    this.#timers = components.timers;
    this.#logger = components.logger;
    this.#onChange = onChange;
  }

  get usable(): boolean {
    return this.#fatal === undefined && this.#full.size === 0;
  }

  /** Only a new start helps. */
  get failed(): boolean {
    return this.#fatal !== undefined;
  }

  /** What it has must not be used, and a new start would not help. */
  get diverged(): boolean {
    return this.#fatal instanceof StateDivergedError;
  }

  health(): ReplicaHealth {
    if (this.#fatal instanceof StateDivergedError) return { status: 'degraded', detail: this.#fatal.message };
    if (this.#fatal !== undefined) {
      const why = this.#fatal instanceof Error ? this.#fatal.message : String(this.#fatal);
      return { status: 'degraded', detail: `stopped by an error, restart this server: ${why}` };
    }
    if (this.#full.size > 0) return { status: 'degraded', detail: 'no space left for the metadata' };
    return { status: 'ok', detail: '' };
  }

  /** Resolves when writing should be tried again; rejects when `signal` is aborted. */
  async waitForSpace(source: StorageSource, cause: unknown, signal: AbortSignal): Promise<void> {
    if (!this.#full.has(source)) {
      this.#logger.fatal(
        { err: cause, source },
        'no space left for the metadata; the replica waits for some',
      );
      this.#full.add(source);
      this.#onChange();
    }
    await this.#timers.sleep(STORAGE_RETRY_MS, signal);
  }

  spaceFound(source: StorageSource): void {
    if (!this.#full.delete(source)) return;
    this.#logger.info({ source }, 'the metadata can be written again');
    this.#onChange();
  }

  fail(cause: unknown): void {
    if (this.#fatal !== undefined) return;
    if (cause instanceof StateDivergedError) {
      this.#logger.fatal({ err: cause }, 'the metadata of this replica are wrong; it stopped');
    } else {
      this.#logger.fatal({ err: cause }, 'the metadata replica stopped; restart this server');
    }
    this.#fatal = cause ?? 'unknown';
    this.#onChange();
  }
}
