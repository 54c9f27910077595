import type { Random } from '../../src/base/random.ts';
import type { SegmentFile, SegmentFiles } from '../../src/io/segments/files.ts';
import type { KvStore, KvWrite } from '../../src/ports/kv-store.ts';
import { MapKvStore } from './map-kv-store.ts';

interface DiskFile {
  content: Uint8Array;
  /** Since the last sync: not certain to survive. */
  unsynced: { readonly offset: number; readonly bytes: Uint8Array }[];
  synced: Uint8Array;
}

class Crashed extends Error {}

/**
 * Segment files and an index on a disk that can lose power before any step. What was not synced survives in part: writes
 * whole, torn or not at all, each by itself; the index keeps the batches up to some moment after its last synced one.
 * Deleted files may come back.
 */
export class CrashDisk {
  readonly #random: Random;
  readonly #files = new Map<number, DiskFile>();
  readonly #removed = new Map<number, DiskFile>();
  readonly #quarantined = new Map<number, DiskFile>();
  #kvSynced = new Map<string, Uint8Array>();
  #kvBatches: (readonly KvWrite[])[] = [];
  /** Steps until the power goes; undefined: it stays. */
  stepsLeft: number | undefined;
  /** Probability that a write says that the disk is full. */
  fullChance = 0;
  /** Bytes of all files together. */
  capacityBytes = Number.MAX_SAFE_INTEGER;
  steps = 0;
  crashes = 0;
  #dead = false;

  constructor(random: Random) {
    this.#random = random;
  }

  get fileCount(): number {
    return this.#files.size;
  }

  get usedBytes(): number {
    return [...this.#files.values()].reduce((sum, file) => sum + file.content.length, 0);
  }

  get crashed(): boolean {
    return this.#dead;
  }

  /** Cut the power now, unless that has happened. What is open then fails; the disk can be opened again. */
  crash(): void {
    if (!this.#dead) this.#loseUnsynced();
    this.#dead = false;
    this.stepsLeft = undefined;
    this.#epoch++;
  }

  #epoch = 0;

  /** The index is lost. */
  loseIndex(): void {
    this.#kvSynced.clear();
    this.#kvBatches = [];
  }

  /** The files and the index as a process sees them that starts now. */
  open(): { files: SegmentFiles; kv: KvStore } {
    const epoch = this.#epoch;
    const step = async (): Promise<void> => {
      await Promise.resolve();
      if (this.#dead || epoch !== this.#epoch) throw new Crashed('no power');
      this.steps++;
      if (this.stepsLeft === undefined || this.stepsLeft-- > 0) return;
      this.crashes++;
      this.#dead = true;
      this.#loseUnsynced();
      throw new Crashed('no power');
    };
    return { files: this.#segmentFiles(step), kv: this.#kvStore(step) };
  }

  #loseUnsynced(): void {
    for (const [segment, file] of this.#removed)
      if (this.#random.next() < 0.3) this.#files.set(segment, file);
    this.#removed.clear();
    for (const file of this.#files.values()) {
      file.content = file.synced.slice();
      for (const { offset, bytes } of file.unsynced) {
        const fate = this.#random.below(3);
        if (fate === 0) continue;
        writeInto(file, offset, fate === 1 ? bytes : bytes.subarray(0, this.#random.below(bytes.length + 1)));
      }
      file.synced = file.content.slice();
      file.unsynced = [];
    }
    this.#kvBatches.splice(this.#random.below(this.#kvBatches.length + 1));
    this.#kvSynced = this.#kvNow().rows;
    this.#kvBatches = [];
  }

  #kvNow(): MapKvStore {
    const kv = new MapKvStore();
    for (const [key, value] of this.#kvSynced) kv.rows.set(key, value);
    for (const batch of this.#kvBatches) void kv.write(batch);
    return kv;
  }

  #segmentFiles(step: () => Promise<void>): SegmentFiles {
    return {
      list: async () => [...this.#files.keys()].sort((a, b) => a - b),
      create: async (segment) => {
        await step();
        const file: DiskFile = { content: new Uint8Array(0), unsynced: [], synced: new Uint8Array(0) };
        this.#files.set(segment, file);
        return this.#handle(file, step);
      },
      open: async (segment) => {
        const file = this.#files.get(segment);
        if (file === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        return this.#handle(file, step);
      },
      remove: async (segment) => {
        await step();
        const file = this.#files.get(segment);
        if (file === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        this.#files.delete(segment);
        this.#removed.set(segment, file);
      },
      quarantine: async (segment) => {
        await step();
        const file = this.#files.get(segment);
        if (file === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        this.#files.delete(segment);
        this.#quarantined.set(segment, file);
      },
      quarantined: async () =>
        [...this.#quarantined].map(([segment, file]) => ({ segment, bytes: file.content.length })),
      space: async () => ({
        totalBytes: this.capacityBytes,
        availableBytes: Math.max(0, this.capacityBytes - this.usedBytes),
      }),
    };
  }

  #handle(file: DiskFile, step: () => Promise<void>): SegmentFile {
    return {
      write: async (parts, offset) => {
        await step();
        const bytes = Buffer.concat(parts);
        const grows = Math.max(0, offset + bytes.length - file.content.length);
        if (this.usedBytes + grows > this.capacityBytes || this.#random.next() < this.fullChance) {
          const part = bytes.subarray(0, this.#random.below(bytes.length));
          writeInto(file, offset, part);
          file.unsynced.push({ offset, bytes: part });
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        }
        writeInto(file, offset, bytes);
        file.unsynced.push({ offset, bytes });
      },
      read: async (into, offset) => {
        const part = file.content.subarray(offset, offset + into.length);
        into.set(part);
        return part.length;
      },
      truncate: async (length) => {
        await step();
        file.content = file.content.slice(0, length);
        file.synced = file.synced.slice(0, length);
        file.unsynced = file.unsynced.filter((write) => write.offset + write.bytes.length <= length);
      },
      sync: async () => {
        await step();
        file.synced = file.content.slice();
        file.unsynced = [];
      },
      size: async () => file.content.length,
      close: async () => {},
    };
  }

  #kvStore(step: () => Promise<void>): KvStore {
    const kv = this.#kvNow();
    return {
      get: (key) => kv.get(key),
      getMany: (keys) => kv.getMany(keys),
      scan: (range) => kv.scan(range),
      clear: async (range) => {
        await step();
        await kv.clear(range);
        this.#kvSynced = new Map(kv.rows);
        this.#kvBatches = [];
      },
      write: async (batch, { sync }) => {
        await step();
        if (this.#random.next() < this.fullChance)
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        await kv.write(batch);
        this.#kvBatches.push(batch);
        if (!sync) return;
        this.#kvSynced = new Map(kv.rows);
        this.#kvBatches = [];
      },
      close: async () => {},
    };
  }
}

function writeInto(file: DiskFile, offset: number, bytes: Uint8Array): void {
  if (offset + bytes.length > file.content.length) {
    const grown = new Uint8Array(offset + bytes.length);
    grown.set(file.content);
    file.content = grown;
  }
  file.content.set(bytes, offset);
}
