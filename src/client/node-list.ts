import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';

/** New nodes are not missed for long, and the meta cluster is not asked for every block. */
const FRESH_MS = 5_000;
/** A refresh that is asked for is done at most this often. */
const REFRESH_MS_MIN = 200;

export interface NodeListComponents {
  readonly timers: Timers;
  readonly logger: Logger;
  /** Addresses of the block nodes, the living ones if that is known. */
  readonly source: () => Promise<readonly string[]>;
}

/** The addresses of the block nodes, as the meta cluster last told them: blocks can be read while it is away. */
export class NodeList {
  readonly #c: NodeListComponents;
  #addresses: readonly string[] = [];
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #wanted = false;
  #fetching: Promise<readonly string[]> | undefined;

  constructor(components: NodeListComponents) {
    this.#c = components;
  }

  /** Throws what the source throws when no list is known yet. */
  async get(): Promise<readonly string[]> {
    const age = this.#c.timers.nowMs() - this.#fetchedMs;
    if (age < REFRESH_MS_MIN || (age < FRESH_MS && !this.#wanted)) return this.#addresses;
    this.#fetching ??= this.#fetch();
    // What is known serves while the meta cluster is slow to answer.
    if (this.#addresses.length > 0 && !this.#wanted) return this.#addresses;
    return await this.#fetching;
  }

  /** The next `get` asks the source again. */
  refresh(): void {
    this.#wanted = true;
  }

  async #fetch(): Promise<readonly string[]> {
    try {
      const addresses = await this.#c.source();
      this.#fetchedMs = this.#c.timers.nowMs();
      this.#wanted = false;
      if (addresses.length > 0) this.#addresses = addresses;
      return this.#addresses;
    } catch (error) {
      if (this.#addresses.length === 0) throw error;
      this.#c.logger.warn({ err: error }, 'block nodes not learned; using those known before');
      this.#fetchedMs = this.#c.timers.nowMs();
      return this.#addresses;
    } finally {
      this.#fetching = undefined;
    }
  }
}
