import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../src/base/random.ts';
import { localSegmentFiles, type SegmentFile, type SegmentFiles } from '../../src/io/segments/files.ts';
import { openSegmentStore, type SegmentStoreOptions } from '../../src/io/segments/segment-store.ts';
import type { BlockStore } from '../../src/ports/block-store.ts';
import { MapKvStore } from './map-kv-store.ts';
import { RecordingLogger } from './recording-logger.ts';
import { VirtualTimers } from './virtual-timers.ts';

/** A segment store in a folder of its own, with an index in memory and faults on demand. */
export class SegmentFixture {
  readonly directory: string;
  readonly kv = new MapKvStore();
  readonly logger = new RecordingLogger();
  readonly clock = new VirtualTimers();
  /** Called before every write of a record; throw to make it fail. */
  onWrite: ((segment: number, offset: number, bytes: number) => void | Promise<void>) | undefined;
  onSync: ((segment: number) => void | Promise<void>) | undefined;
  syncs = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(): Promise<SegmentFixture> {
    return new SegmentFixture(await mkdtemp(join(tmpdir(), 'segments-')));
  }

  open(options: Partial<SegmentStoreOptions> = {}): Promise<BlockStore> {
    return openSegmentStore(
      { files: this.#files(), kv: this.kv, timers: this.clock, random: seededRandom(7), logger: this.logger },
      { clusterId: 'test', nodeId: 'n1', reserveBytes: 0, ...options },
    );
  }

  path(segment: number): string {
    return join(this.directory, `seg-${String(segment).padStart(8, '0')}.dat`);
  }

  async cleanup(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  #files(): SegmentFiles {
    const files = localSegmentFiles(this.directory);
    return {
      ...files,
      create: async (segment) => this.#wrap(segment, await files.create(segment)),
      open: async (segment, mode) => this.#wrap(segment, await files.open(segment, mode)),
    };
  }

  #wrap(segment: number, file: SegmentFile): SegmentFile {
    return {
      ...file,
      write: async (parts, offset) => {
        const bytes = parts.reduce((sum, part) => sum + part.length, 0);
        await this.onWrite?.(segment, offset, bytes);
        await file.write(parts, offset);
      },
      sync: async () => {
        this.syncs++;
        await this.onSync?.(segment);
        await file.sync();
      },
    };
  }
}

export function ioError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
