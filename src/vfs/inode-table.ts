import type { Ino } from '../base/ids.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import { InodeState } from './inode-state.ts';
import type { VfsOptions } from './options.ts';

/** The inodes that are open here or have unflushed data. */
export class InodeTable {
  readonly #states = new Map<number, InodeState>();
  readonly #options: VfsOptions;

  constructor(options: VfsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#states.size;
  }

  get(ino: number): InodeState | undefined {
    return this.#states.get(ino);
  }

  all(): InodeState[] {
    return [...this.#states.values()];
  }

  dirty(): InodeState[] {
    return this.all().filter((state) => state.dirty);
  }

  /** One more handle on the inode. */
  retain(ino: Ino, attr: Attr): InodeState {
    let state = this.#states.get(ino);
    if (state) {
      state.adopt(attr);
    } else {
      const { blockSizeBytes, putsPerInodeMax } = this.#options;
      state = new InodeState(ino, attr, blockSizeBytes, putsPerInodeMax);
      this.#states.set(ino, state);
    }
    state.handles++;
    return state;
  }

  /** Forgets the inode unless it is open or dirty. */
  collect(state: InodeState): void {
    if (state.handles === 0 && !state.dirty && this.#states.get(state.ino) === state) {
      this.#states.delete(state.ino);
    }
  }
}
