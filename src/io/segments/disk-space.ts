import type { Clock } from '../../ports/clock.ts';
import type { SegmentFiles } from './files.ts';

/** The free space of the disk is asked for again after this time, or when this little of it is left. */
const SPACE_TTL_MS = 1000;
const SPACE_LOW_BYTES = 256 * 1024 * 1024;

export interface DiskSpaceOptions {
  /** Bytes that all segments together may take. Undefined: what the disk has. */
  readonly capacityBytes: number | undefined;
  /** Bytes to leave free on the disk, for the index and for others. */
  readonly reserveBytes: number;
  /** Bytes on top that only deletes and compaction may use, so that a full store can make room. */
  readonly headroomBytes: number;
}

/** How much may still be written. */
export class DiskSpace {
  readonly #components: {
    readonly files: SegmentFiles;
    readonly clock: Clock;
    readonly fileBytes: () => number;
  };
  readonly #options: DiskSpaceOptions;
  #last = { totalBytes: 0, availableBytes: 0, fileBytes: 0, atMs: Number.NEGATIVE_INFINITY };

  constructor(
    components: { readonly files: SegmentFiles; readonly clock: Clock; readonly fileBytes: () => number },
    options: DiskSpaceOptions,
  ) {
    this.#components = components;
    this.#options = options;
  }

  get capacityBytes(): number {
    return Math.min(this.#options.capacityBytes ?? this.#last.totalBytes, this.#last.totalBytes);
  }

  /** A write failed: do not believe the last answer any more. */
  doubt(): void {
    this.#last.atMs = Number.NEGATIVE_INFINITY;
  }

  /** Bytes for puts. Asks the disk again when its last answer is old or close to what is needed. Throws what the disk says. */
  async available(needed: number): Promise<number> {
    return Math.max(0, (await this.#beforeHeadroom(needed)) - this.#options.headroomBytes);
  }

  /** Bytes for compaction. */
  async forCompaction(): Promise<number> {
    return Math.max(0, await this.#beforeHeadroom(0));
  }

  async #beforeHeadroom(needed: number): Promise<number> {
    const { files, clock, fileBytes } = this.#components;
    const now = clock.nowMs();
    const old = now - this.#last.atMs > SPACE_TTL_MS;
    if (old || this.#estimate() < needed + this.#options.headroomBytes + SPACE_LOW_BYTES) {
      const bytes = fileBytes();
      this.#last = { ...(await files.space()), fileBytes: bytes, atMs: now };
    }
    return this.#estimate();
  }

  #estimate(): number {
    const written = this.#components.fileBytes();
    const { capacityBytes, reserveBytes } = this.#options;
    const onDisk = this.#last.availableBytes - (written - this.#last.fileBytes) - reserveBytes;
    return capacityBytes === undefined ? onDisk : Math.min(onDisk, capacityBytes - written);
  }
}
