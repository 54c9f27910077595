import type { BlockId } from '../base/ids.ts';
import { isInRange, toPosition } from '../core/chord/identifiers.ts';
import type { Member } from '../core/chord/types.ts';
import type { DoneAnswer, RingDriver } from './ring-driver.ts';

/** The owners of one block after the other. In the order of their identifiers, most have those of the one before. */
export class OwnersInOrder {
  readonly #ring: RingDriver;
  readonly #replicas: number;
  #range: DoneAnswer | undefined;

  constructor(ring: RingDriver, replicas: number) {
    this.#ring = ring;
    this.#replicas = replicas;
  }

  /** Throws BlockRequestError UNAVAILABLE. */
  async of(id: BlockId): Promise<readonly Member[]> {
    const key = toPosition(id);
    if (this.#range === undefined || !isInRange(this.#range.rangeStart, key, this.#range.rangeEnd)) {
      this.#range = await this.#ring.lookup(key, this.#replicas);
    }
    return this.#range.owners;
  }
}
