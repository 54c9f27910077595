import type { BlockId } from '../base/ids.ts';
import {
  SCRUB_INSPECT_INTERVAL_MS,
  SCRUB_LOST_BLOCKS_MAX,
  SCRUB_PAGE_BLOCKS,
  SCRUB_START_DELAY_MS,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { ScrubStatus } from '../gen/ringfs/v1/block.ts';
import type { BlockEntry } from '../ports/block-store.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { LocalBlocks } from './local-blocks.ts';
import type { Repair } from './repair.ts';
import { blockIdFromWire } from './wire.ts';

export interface ScrubComponents {
  readonly local: LocalBlocks;
  readonly repair: Pick<Repair, 'heal'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** Whether other nodes can be asked. */
  readonly joined: () => boolean;
}

export interface ScrubOptions {
  /** Pause before each pass over all blocks. */
  readonly intervalMs: number;
  readonly bytesPerSecond: number;
}

interface Pass {
  blocks: number;
  bytes: number;
  bad: number;
  /** Part of the identifiers that it has behind it. */
  position: number;
}

const ID_BYTES = 32;
const NO_PASS: Readonly<Pass> = { blocks: 0, bytes: 0, bad: 0, position: 0 };

/**
 * Finds what is damaged on this node before someone needs it, and has it replaced from other nodes. Every minute it has the store
 * look at its files; now and then, slowly, it reads and hashes every block. A pass begins at a random identifier: where processes
 * do not live as long as a pass, all blocks have their turn nevertheless.
 */
export class Scrub {
  readonly #c: ScrubComponents;
  readonly #options: ScrubOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #pass: Pass | undefined;
  #last = { ...NO_PASS, tookMs: 0, endedSec: 0 };
  #passes = 0;
  #found = 0;
  #healed = 0;
  /** Those of its finds that wait for a good copy, all of them bad copies of `local`. */
  readonly #unhealed = new Set<BlockId>();
  #passDueMs = 0;
  #inspectDueMs = 0;

  constructor(components: ScrubComponents, options: ScrubOptions) {
    this.#c = components;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  status(): ScrubStatus {
    const pass = this.#pass ?? NO_PASS;
    return {
      running: this.#pass !== undefined,
      position: pass.position,
      passBlocks: pass.blocks,
      passBytes: pass.bytes,
      passes: this.#passes,
      found: this.#found,
      healed: this.#healed,
      lastPassBlocks: this.#last.blocks,
      lastPassBad: this.#last.bad,
      lastPassTookMs: Math.round(this.#last.tookMs),
      lastPassEndedSec: this.#last.endedSec,
      rateBytesPerSecond: this.#options.bytesPerSecond,
    };
  }

  async #run(): Promise<void> {
    const { timers, logger } = this.#c;
    const { signal } = this.#abort;
    const { intervalMs } = this.#options;
    const startMs = timers.nowMs();
    this.#passDueMs = startMs + intervalMs;
    // What a pass would find one by one is better dealt with together, before it.
    this.#inspectDueMs = startMs + Math.min(SCRUB_START_DELAY_MS, intervalMs);
    while (!signal.aborted) {
      try {
        const due = Math.min(this.#passDueMs, this.#inspectDueMs);
        await timers.sleep(Math.max(0, due - timers.nowMs()), signal);
        await this.#inspectIfDue();
        if (timers.nowMs() >= this.#passDueMs) {
          await this.#passOver();
          this.#passDueMs = timers.nowMs() + intervalMs;
        }
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error }, 'scrub was interrupted');
        this.#passDueMs = Math.max(this.#passDueMs, timers.nowMs() + SCRUB_INSPECT_INTERVAL_MS);
      } finally {
        this.#pass = undefined;
      }
    }
  }

  /** Blocks whose files are damaged, and copies that could not be healed before. */
  async #inspectIfDue(): Promise<void> {
    const { local, timers, joined } = this.#c;
    if (timers.nowMs() < this.#inspectDueMs) return;
    this.#inspectDueMs = timers.nowMs() + SCRUB_INSPECT_INTERVAL_MS;
    // Nobody could be asked for copies.
    if (!joined()) {
      this.#inspectDueMs = timers.nowMs() + SCRUB_START_DELAY_MS;
      return;
    }
    for (const id of local.badIds()) {
      await this.#c.repair.heal(id);
      this.#abort.signal.throwIfAborted();
    }
    for (const id of this.#unhealed) {
      if (local.isBad(id)) continue;
      this.#unhealed.delete(id);
      // Here, by a reader or by another node; or it is gone, since nothing referred to it.
      if ((await local.store.has([id]))[0] === true) this.#healed++;
    }
    for (let healed = 1, more = true; more && healed > 0; ) {
      const inspection = await local.store.inspect(SCRUB_LOST_BLOCKS_MAX);
      if (inspection.unread) this.#passDueMs = timers.nowMs();
      const unknown = inspection.lost.filter((id) => !local.isBad(id));
      if (unknown.length > 0)
        this.#c.logger.error({ blocks: unknown.length }, 'blocks of this node are gone with their files');
      healed = 0;
      for (const id of unknown) healed += await this.#heal(id);
      more = inspection.more;
    }
  }

  async #passOver(): Promise<void> {
    const { local, timers, random, logger } = this.#c;
    const pass: Pass = { ...NO_PASS };
    this.#pass = pass;
    const startMs = timers.nowMs();
    const start = blockIdFromWire(random.bytes(ID_BYTES));
    const halves = [
      { after: start, until: undefined },
      { after: undefined, until: start },
    ];
    for (const { after: first, until } of halves) {
      for (let after: BlockId | undefined = first; ; ) {
        const page = await local.store.list(after, until, SCRUB_PAGE_BLOCKS);
        for (const entry of page) await this.#check(entry, pass, start);
        after = page.at(-1)?.id;
        if (after === undefined) break;
      }
    }
    const tookMs = timers.nowMs() - startMs;
    this.#passes++;
    this.#last = { ...pass, tookMs, endedSec: timers.wallTime().sec };
    const { blocks, bytes, bad } = pass;
    logger.info({ blocks, bytes, bad, tookMs }, 'scrubbed all blocks');
  }

  async #check({ id, length }: BlockEntry, pass: Pass, start: BlockId): Promise<void> {
    const { local, timers } = this.#c;
    // One that is known to be bad has been tried to be healed a minute ago.
    if (!local.isBad(id) && (await local.verify(id)) === 'corrupt') {
      pass.bad++;
      await this.#heal(id);
    }
    pass.blocks++;
    pass.bytes += length;
    pass.position = (fractionOf(id) - fractionOf(start) + 1) % 1;
    // A small block costs a seek too.
    await timers.sleep(((length + 64 * 1024) * 1000) / this.#options.bytesPerSecond, this.#abort.signal);
    await this.#inspectIfDue();
  }

  /** 1: healed, 0: not. */
  async #heal(id: BlockId): Promise<0 | 1> {
    this.#abort.signal.throwIfAborted();
    this.#found++;
    if (await this.#c.repair.heal(id)) {
      this.#healed++;
      return 1;
    }
    if (this.#c.local.isBad(id)) this.#unhealed.add(id);
    return 0;
  }
}

/** Where an identifier lies between the first and the last. */
function fractionOf(id: BlockId): number {
  return Number.parseInt(id.slice(0, 12), 16) / 2 ** 48;
}
