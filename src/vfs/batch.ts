import type { FsError } from '../base/errno.ts';
import type { BlockId } from '../base/ids.ts';
import type { Instant } from '../ports/clock.ts';
import type { PlannedBlock } from './block-cutter.ts';
import type { DirtyBuffer } from './dirty-buffer.ts';
import type { Layer } from './overlay.ts';

/** The write side of an inode: new writes go here until it is frozen into a batch. */
export interface OpenBatch extends Layer {
  /** The time of its last write(2). */
  mtime: Instant;
  clearSuidSgid: boolean;
}

/**
 * Writes that do not change any more, on their way to the ring and then into one commit. It stays in the file's overlay
 * until the commit is known to have been applied.
 */
export interface Batch extends Layer {
  readonly kind: 'write' | 'append';
  readonly buffer: DirtyBuffer;
  readonly sequence: number;
  readonly mtime: Instant;
  readonly clearSuidSgid: boolean;
  readonly bytes: number;
  storage: BatchStorage;
  /** A commit of this append got no answer: it may or may not have been applied to a file at least this big. */
  uncertainFrom: number | undefined;
}

export type BatchStorage =
  | { readonly state: 'waiting' }
  /** Small enough to travel in the commit. */
  | { readonly state: 'inline' }
  | {
      readonly state: 'blocks';
      /** Without their data once they are stored. */
      readonly planned: PlannedBlock[];
      /** By index of `planned`: stored durably. Kept over failed attempts. */
      readonly stored: (BlockId | undefined)[];
      /** The lowest MetaService.seenIndex with which one of them was put. */
      uploadedAt: number;
      /** Settles when the current attempt is over. */
      attempt: Promise<FsError | undefined> | undefined;
      done: boolean;
    };

/** Nothing has to happen before this batch can be committed. */
export function isStored(batch: Batch): boolean {
  return batch.storage.state === 'inline' || (batch.storage.state === 'blocks' && batch.storage.done);
}
