import { hashText } from '../../core/namespace/row-hash.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { StateDivergedError } from './errors.ts';
import type { StateStore } from './state-store.ts';

export interface StateAuditOptions {
  readonly intervalMs: number;
  readonly pauseMs: number;
}

export interface StateAuditComponents {
  readonly timers: Timers;
  readonly logger: Logger;
  readonly state: StateStore;
  /** The store does not have what was written to it. */
  readonly onDiverged: (error: StateDivergedError) => void;
  readonly advice: () => string;
}

/**
 * Reads all rows from the disk now and then, slowly, and compares their hash with the one that was kept up with each write. So a
 * store that lost or changed a row is found though nobody reads that row.
 */
export class StateAuditor {
  readonly #c: StateAuditComponents;
  readonly #options: StateAuditOptions;
  readonly #stopped = new AbortController();
  #nextMs: number;
  #running: Promise<void> | undefined;

  constructor(components: StateAuditComponents, options: StateAuditOptions) {
    this.#c = components;
    this.#options = options;
    this.#nextMs = components.timers.nowMs() + options.intervalMs;
  }

  tick(): void {
    if (this.#running !== undefined || this.#c.timers.nowMs() < this.#nextMs) return;
    this.#running = this.#audit().finally(() => {
      this.#running = undefined;
      this.#nextMs = this.#c.timers.nowMs() + this.#options.intervalMs;
    });
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the replica stops'));
    await this.#running;
  }

  async #audit(): Promise<void> {
    const { state, timers, logger, onDiverged, advice } = this.#c;
    const { signal } = this.#stopped;
    try {
      const pause = (): Promise<void> => timers.sleep(this.#options.pauseMs, signal);
      const { index, rows, read, kept } = await state.hashRows(pause);
      if (kept === undefined || read === kept) {
        logger.debug({ index, rows }, 'all rows are what was written');
        return;
      }
      onDiverged(
        new StateDivergedError(
          `its disk does not have what was written to it: the ${rows} rows as of log index ${index} have the hash ` +
            `${hashText(read)}, and ${hashText(kept)} was kept for them; ${advice()}`,
        ),
      );
    } catch (error) {
      // Stopped, or the state was replaced by a snapshot, or the disk failed, which whoever needs the row reports.
      if (!signal.aborted) logger.warn({ err: error }, 'the rows could not be read through');
    }
  }
}
