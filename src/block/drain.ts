import type { DrainProgress } from '../gen/ringfs/v1/namespace.ts';

export interface Amount {
  readonly blocks: number;
  readonly bytes: number;
}

const NONE: Amount = { blocks: 0, bytes: 0 };
const plus = (a: Amount, b: Amount): Amount => ({ blocks: a.blocks + b.blocks, bytes: a.bytes + b.bytes });

/** How far the walks of repair over this node's copies are, and what a draining node still has to hand over. */
export class WalkProgress {
  #draining = false;
  /** All nodes place blocks without this one. */
  #agreed = false;
  #walking = false;
  #total = NONE;
  #checked = NONE;
  /** What the walk under way found not to be on all owners. */
  #left = NONE;
  /** The same of the last whole walk since draining began. */
  #leftBefore: Amount | undefined;
  #countsForDone = false;
  #done = false;

  get draining(): boolean {
    return this.#draining;
  }

  get done(): boolean {
    return this.#done;
  }

  get walking(): boolean {
    return this.#walking;
  }

  /** Blocks. */
  get checked(): number {
    return this.#checked.blocks;
  }

  get total(): number {
    return Math.max(this.#total.blocks, this.#checked.blocks);
  }

  /** Returns whether a walk is due now that was not before. */
  set(draining: boolean, agreed: boolean): boolean {
    const due = draining && (!this.#draining || (agreed && !this.#agreed));
    if (draining !== this.#draining) {
      this.#leftBefore = undefined;
      this.#countsForDone = false;
      this.#done = false;
    }
    this.#draining = draining;
    this.#agreed = agreed;
    return due;
  }

  begin(total: Amount): void {
    this.#walking = true;
    this.#total = total;
    this.#checked = NONE;
    this.#left = NONE;
    this.#countsForDone = this.#draining && this.#agreed;
  }

  page(checked: Amount, left: Amount): void {
    this.#checked = plus(this.#checked, checked);
    this.#left = plus(this.#left, left);
    if (left.blocks > 0) this.#done = false;
  }

  /** The walk has seen every block. */
  end(): void {
    this.#walking = false;
    if (!this.#draining) return;
    this.#leftBefore = this.#left;
    if (this.#countsForDone) this.#done = this.#left.blocks === 0;
  }

  /** The walk was interrupted. */
  abandon(): void {
    this.#walking = false;
    this.#countsForDone = false;
  }

  /** Of a draining node; `stored`: all that it has. */
  progress(stored: Amount): DrainProgress | undefined {
    if (!this.#draining) return undefined;
    if (this.#done) return { blocksLeft: 0, bytesLeft: 0, done: true };
    const { blocks, bytes } = this.#estimate(stored);
    return { blocksLeft: Math.round(blocks), bytesLeft: Math.round(bytes), done: false };
  }

  /** What this walk has found, and for the rest what the last one had, or everything. */
  #estimate(stored: Amount): Amount {
    if (!this.#walking) return this.#leftBefore ?? stored;
    const before = this.#leftBefore ?? this.#total;
    const rest = this.#total.blocks === 0 ? 0 : Math.max(0, 1 - this.#checked.blocks / this.#total.blocks);
    return plus(this.#left, { blocks: before.blocks * rest, bytes: before.bytes * rest });
  }
}
