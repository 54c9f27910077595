import { ORPHAN_QUEUE_MAX, ORPHAN_RETRY_MS_MAX, ORPHAN_ROUND_INTERVAL_MS } from '../base/limits.ts';

interface Held {
  readonly dueMs: number;
  readonly delayMs: number;
}

/** Unlinked inodes waiting to be deleted: new ones first come first served, held ones with growing pauses. */
export class OrphanQueue {
  readonly #max: number;
  readonly #fresh = new Set<number>();
  readonly #held = new Map<number, Held>();

  constructor(max: number = ORPHAN_QUEUE_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#fresh.size + this.#held.size;
  }

  /** False: the queue is full. */
  add(ino: number): boolean {
    if (this.#held.has(ino) || this.#fresh.has(ino)) return true;
    if (this.size >= this.#max) return false;
    this.#fresh.add(ino);
    return true;
  }

  /** Worth a scan for those that were turned away. */
  get hasRoom(): boolean {
    return this.size <= this.#max / 2;
  }

  /** Up to `limit` inodes that are due. They stay queued until `done`. */
  due(nowMs: number, limit: number): number[] {
    const out: number[] = [];
    for (const ino of this.#fresh) {
      if (out.length >= limit) return out;
      out.push(ino);
    }
    for (const [ino, held] of this.#held) {
      if (out.length >= limit) return out;
      if (held.dueMs <= nowMs) out.push(ino);
    }
    return out;
  }

  /** Somebody has it open, or it could not be found out: ask again later. */
  retryLater(ino: number, nowMs: number): void {
    this.#fresh.delete(ino);
    const before = this.#held.get(ino)?.delayMs ?? ORPHAN_ROUND_INTERVAL_MS / 2;
    const delayMs = Math.min(before * 2, ORPHAN_RETRY_MS_MAX);
    this.#held.delete(ino);
    this.#held.set(ino, { dueMs: nowMs + delayMs, delayMs });
  }

  done(ino: number): void {
    this.#fresh.delete(ino);
    this.#held.delete(ino);
  }
}
