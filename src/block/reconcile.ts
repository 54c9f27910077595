import type { BlockId } from '../base/ids.ts';
import { RECONCILE_PAGE_BLOCKS, RECONCILE_PAGE_PAUSE_MS } from '../base/limits.ts';
import type { BlockCopy } from '../gen/ringfs/v1/namespace.ts';
import type { BlockStore } from '../ports/block-store.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { blockIdToWire } from './wire.ts';

export interface ReconcileComponents {
  readonly store: BlockStore;
  /** Names copies to the metadata leader. Resolves with how many of them it has condemned; throws when there is none. */
  readonly report: (copies: readonly BlockCopy[]) => Promise<number>;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface ReconcileOptions {
  /** Pause before each walk over all copies. */
  readonly intervalMs: number;
}

/**
 * Names all copies of this node to the metadata cluster now and then, slowly, so that those that no file will ever refer to
 * are found: uploads that were never committed, and copies that were away while their block was deleted. What is to be
 * deleted comes back as a DeleteBlocks.
 */
export class Reconcile {
  readonly #components: ReconcileComponents;
  readonly #options: ReconcileOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #wake: AbortController | undefined;

  constructor(components: ReconcileComponents, options: ReconcileOptions) {
    this.#components = components;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake?.abort();
    await this.#running;
  }

  /** A walk soon, if none is under way. */
  kick(): void {
    this.#wake?.abort();
  }

  async #run(): Promise<void> {
    const { timers, logger } = this.#components;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await timers.sleep(this.#options.intervalMs, this.#wake.signal).catch(() => {});
      this.#wake = undefined;
      if (signal.aborted) return;
      try {
        await this.#walk();
      } catch (error) {
        if (!signal.aborted) logger.debug({ error }, 'the walk over unreferenced copies was interrupted');
      }
    }
  }

  async #walk(): Promise<void> {
    const { store, report, timers, logger } = this.#components;
    let after: BlockId | undefined;
    let condemned = 0;
    for (;;) {
      const page = await store.list(after, undefined, RECONCILE_PAGE_BLOCKS);
      if (page.length === 0) break;
      after = page.at(-1)!.id;
      condemned += await report(
        page.map(({ id, length, uploadedAt }) => ({ blockId: blockIdToWire(id), length, uploadedAt })),
      );
      await timers.sleep(RECONCILE_PAGE_PAUSE_MS, this.#abort.signal);
    }
    if (condemned > 0) logger.info({ condemned }, 'found copies that nothing refers to');
  }
}
