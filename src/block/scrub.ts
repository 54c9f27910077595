import type { BlockId } from '../base/ids.ts';
import { SCRUB_BYTES_PER_SECOND, SCRUB_PAGE_BLOCKS } from '../base/limits.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { LocalBlocks } from './local-blocks.ts';
import type { Repair } from './repair.ts';

export interface ScrubComponents {
  readonly local: LocalBlocks;
  readonly repair: Repair;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface ScrubOptions {
  /** Pause before each pass over all blocks. */
  readonly intervalMs: number;
}

/** Reads and hashes every stored block now and then, slowly, and has bad copies replaced before someone needs them. */
export class Scrub {
  readonly #components: ScrubComponents;
  readonly #options: ScrubOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(components: ScrubComponents, options: ScrubOptions) {
    this.#components = components;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { timers, logger } = this.#components;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await timers.sleep(this.#options.intervalMs, signal);
        await this.#pass();
      } catch (error) {
        if (!signal.aborted) logger.warn({ error }, 'scrub was interrupted');
      }
    }
  }

  async #pass(): Promise<void> {
    const { local, repair, timers, logger } = this.#components;
    const { signal } = this.#abort;
    let after: BlockId | undefined;
    let blocks = 0;
    let corrupt = 0;
    for (;;) {
      const page = await local.store.list(after, undefined, SCRUB_PAGE_BLOCKS);
      if (page.length === 0) break;
      for (const { id, length } of page) {
        if ((await local.verify(id)) === 'corrupt') {
          corrupt++;
          await repair.heal(id);
        }
        // A small block costs a seek too.
        await timers.sleep(((length + 64 * 1024) * 1000) / SCRUB_BYTES_PER_SECOND, signal);
      }
      blocks += page.length;
      after = page.at(-1)!.id;
    }
    logger.info({ blocks, corrupt }, 'scrubbed all blocks');
  }
}
