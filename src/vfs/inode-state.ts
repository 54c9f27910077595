import type { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import {
  VFS_DIRTY_RUNS_MAX,
  VFS_EXTENTS_PER_COMMIT_MAX,
  VFS_STREAM_BYTES_MIN,
  VFS_STREAM_LOOKS_MAX,
} from '../base/limits.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type { Instant } from '../ports/clock.ts';
import type { Batch, OpenBatch } from './batch.ts';
import { DirtyBuffer, type Piece } from './dirty-buffer.ts';
import type { Layout } from './layout.ts';
import { withoutSuidSgid } from './mode.ts';
import { type Layer, overlay, type Range, sizeWithLayers } from './overlay.ts';
import { Semaphore } from './wait.ts';

/**
 * What this mount knows of one inode that is open here or has unflushed data: shared by all its handles. The file is the
 * committed content with `batches`, oldest first, and then `open` written over it.
 */
export class InodeState {
  readonly ino: Ino;
  /** Newest committed attributes seen, by version. */
  attr: Attr;
  handles = 0;
  /** Owners here with an exclusive lock in it: what they wrote is worth nothing once the lock is lost. */
  exclusiveLocks = 0;
  layout: Layout | undefined;
  readonly batches: Batch[] = [];
  open: OpenBatch | undefined;
  /** One commit at a time, in order: the second may overwrite the first. */
  readonly commitLock = new Semaphore(1);
  readonly putSlots: Semaphore;
  /** A commit with an append is under way: content beyond this data version may already hold it. */
  appending: { readonly dataVersion: number; readonly settled: Promise<void> } | undefined;
  /** errseq(3): every handle reports an error that it has not seen, once. */
  errorSequence = 0;
  lastError: FsError | undefined;
  failedAttempts = 0;
  retryAtMs = 0;
  /** A background flush is running. */
  flushing = false;
  /** How often since it was last clean the servers refused a commit because a chunk had too many extents. */
  crowdedAttempts = 0;
  /** Bytes ever written here, and at the last look of `streams`. */
  #written = 0;
  #writtenBefore = 0;
  #looks = { sequence: 0, count: 0 };
  /** Where the last write ended: one that starts there is streaming. */
  #writeEnd = -1;
  #sequence = 0;
  readonly #blockSizeBytes: number;

  constructor(ino: Ino, attr: Attr, blockSizeBytes: number, putSlots: number) {
    this.ino = ino;
    this.attr = attr;
    this.#blockSizeBytes = blockSizeBytes;
    this.putSlots = new Semaphore(putSlots);
  }

  get dirty(): boolean {
    return this.open !== undefined || this.batches.length > 0;
  }

  /** Unlinked everywhere: nobody can open it again. */
  get removed(): boolean {
    return this.attr.nlink === 0;
  }

  /** Sequence of the newest batch. */
  get lastSequence(): number {
    return this.#sequence;
  }

  layers(): Layer[] {
    return this.open ? [...this.batches, this.open] : this.batches.slice();
  }

  /** Size as this mount sees it. */
  size(): number {
    return this.dirty ? sizeWithLayers(this.layers(), this.attr.size) : this.attr.size;
  }

  adopt(attr: Attr): void {
    if (attr.version > this.attr.version) this.attr = attr;
  }

  /** The committed attributes with what was written here since. */
  view(): Attr {
    if (!this.dirty) return this.attr;
    const layers: readonly (Batch | OpenBatch)[] = this.open ? [...this.batches, this.open] : this.batches;
    const newest = layers.at(-1)!;
    let bytes = 0;
    for (const layer of layers) bytes += layer.buffer.bytes;
    const { sec, nsec } = newest.mtime;
    return {
      ...this.attr,
      mode: layers.some((l) => l.clearSuidSgid) ? withoutSuidSgid(this.attr.mode) : this.attr.mode,
      size: sizeWithLayers(layers, this.attr.size),
      allocatedBytes: this.attr.allocatedBytes + bytes,
      mtimeSec: sec,
      mtimeNsec: nsec,
      ctimeSec: sec,
      ctimeNsec: nsec,
    };
  }

  overlay(from: number, to: number): { pieces: Piece[]; gaps: Range[] } {
    if (!this.dirty) return { pieces: [], gaps: from < to ? [{ from, to }] : [] };
    return overlay(this.layers(), this.attr.size, from, to);
  }

  /** Copies `data` into the open batch. Returns by how many bytes the dirty data grew. */
  write(offset: number, data: Uint8Array, mtime: Instant, clearSuidSgid: boolean): number {
    const open = this.#openBatch('write', mtime, clearSuidSgid);
    const streaming = offset === this.#writeEnd && offset >= this.#blockSizeBytes;
    this.#writeEnd = offset + data.length;
    this.#written += data.length;
    const grown = open.buffer.write(offset, data, streaming);
    if (open.buffer.hasFullWindows) this.#freeze(open, open.buffer.takeFullWindows());
    if (open.buffer.empty) this.open = undefined;
    else if (open.buffer.runCount > VFS_DIRTY_RUNS_MAX) this.freezeAll();
    return grown;
  }

  /** Asked once per write-back delay: whether the block that is being written is worth waiting for. */
  streams(): boolean {
    const grown = this.#written - this.#writtenBefore;
    this.#writtenBefore = this.#written;
    if (this.#looks.sequence !== this.#sequence) this.#looks = { sequence: this.#sequence, count: 0 };
    const sequential = this.open?.kind === 'write' && this.open.buffer.runCount === 1;
    return sequential && grown >= VFS_STREAM_BYTES_MIN && this.#looks.count++ < VFS_STREAM_LOOKS_MAX;
  }

  /** Copies `data` behind everything else. Batches end between writes, so that each lands in one piece. */
  append(data: Uint8Array, mtime: Instant, clearSuidSgid: boolean): void {
    const open = this.#openBatch('append', mtime, clearSuidSgid);
    open.buffer.write(open.buffer.end, data, open.buffer.end >= this.#blockSizeBytes / 4);
    if (open.buffer.bytes >= this.#blockSizeBytes) this.freezeAll();
  }

  /** Everything written so far becomes batches; later writes go on top. */
  freezeAll(): void {
    const open = this.open;
    if (!open) return;
    this.open = undefined;
    if (open.kind === 'append') {
      this.#freeze(open, open.buffer);
      return;
    }
    while (open.buffer.runCount > VFS_EXTENTS_PER_COMMIT_MAX) {
      this.#freeze(open, open.buffer.takeRuns(VFS_EXTENTS_PER_COMMIT_MAX));
    }
    if (!open.buffer.empty) this.#freeze(open, open.buffer);
  }

  #openBatch(kind: 'write' | 'append', mtime: Instant, clearSuidSgid: boolean): OpenBatch {
    if (this.open && this.open.kind !== kind) this.freezeAll();
    this.open ??= { kind, buffer: new DirtyBuffer(this.#blockSizeBytes), mtime, clearSuidSgid };
    this.open.mtime = mtime;
    this.open.clearSuidSgid ||= clearSuidSgid;
    return this.open;
  }

  #freeze(open: OpenBatch, buffer: DirtyBuffer): void {
    this.batches.push({
      kind: open.kind,
      buffer,
      sequence: ++this.#sequence,
      mtime: open.mtime,
      clearSuidSgid: open.clearSuidSgid,
      bytes: buffer.bytes,
      storage: { state: 'waiting' },
      uncertainFrom: undefined,
    });
  }

  /** Replaces a batch of scattered writes by several of at most `extentsMax` ranges, which are disjoint. */
  divideBatch(batch: Batch, extentsMax: number): void {
    const at = this.batches.indexOf(batch);
    if (at < 0 || batch.kind === 'append' || batch.buffer.runCount <= extentsMax) return;
    const parts: Batch[] = [];
    while (!batch.buffer.empty) {
      const buffer = batch.buffer.takeFirst(extentsMax);
      parts.push({ ...batch, buffer, bytes: buffer.bytes, storage: { state: 'waiting' } });
    }
    this.batches.splice(at, 1, ...parts);
  }

  /** Takes batches out. Returns their bytes. */
  removeBatches(gone: ReadonlySet<Batch>): number {
    let bytes = 0;
    const kept = this.batches.filter((batch) => {
      if (gone.has(batch)) bytes += batch.bytes;
      return !gone.has(batch);
    });
    this.batches.splice(0, this.batches.length, ...kept);
    return bytes;
  }

  /** Throws away everything unflushed. Returns its bytes. */
  dropAll(): number {
    let bytes = this.removeBatches(new Set(this.batches));
    bytes += this.open?.buffer.bytes ?? 0;
    this.open = undefined;
    return bytes;
  }

  recordError(error: FsError): void {
    this.errorSequence++;
    this.lastError = error;
  }
}
