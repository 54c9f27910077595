import type { Ino } from '../../src/base/ids.ts';
import type { CacheInvalidation } from '../../src/ports/file-system.ts';
import type { Channel } from './channel.ts';
import { INVALIDATIONS_PENDING_MAX } from './limits.ts';
import { encodeInvalInode } from './protocol/notices.ts';

/**
 * Sends invalidations one after another, so that at most one pool thread waits in the kernel for a locked page. Several
 * for one inode that have not been sent yet are one.
 */
export class InvalidationQueue {
  readonly #channel: Pick<Channel, 'notify' | 'ended'>;
  readonly #pending = new Map<Ino, boolean>();
  #running: Promise<void> | undefined;

  constructor(components: { channel: Pick<Channel, 'notify' | 'ended'> }) {
    this.#channel = components.channel;
  }

  push(invalidations: readonly CacheInvalidation[]): void {
    for (const { ino, data } of invalidations) {
      const pending = this.#pending.get(ino);
      if (pending === undefined && !data && this.#pending.size >= INVALIDATIONS_PENDING_MAX) continue;
      this.#pending.set(ino, data || pending === true);
    }
    this.#running ??= this.#run();
  }

  /** Resolves when everything pushed before has been sent. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      const next = this.#pending.entries().next();
      if (next.done === true || this.#channel.ended) break;
      const [ino, data] = next.value;
      this.#pending.delete(ino);
      await this.#channel.notify(encodeInvalInode({ ino, data }));
    }
    this.#pending.clear();
    this.#running = undefined;
  }
}
