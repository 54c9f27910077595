import type { BlockId } from '../../base/ids.ts';
import { BlockStoreError } from '../../ports/block-store.ts';
import type { IndexEntry } from './block-index.ts';
import type { SegmentFile, SegmentFiles } from './files.ts';
import { decodeRecordHeader, hasContent, RECORD_HEADER_BYTES } from './format.ts';
import { storeError } from './store-error.ts';

/** File descriptors kept open for reading; 256 of them reach 64 GiB of blocks without opening a file. */
const OPEN_SEGMENTS_MAX = 256;

interface Reader {
  readonly file: Promise<SegmentFile>;
  users: number;
  evicted: boolean;
  onUnused: (() => void) | undefined;
}

/** Read handles of segments, the least recently used closed first. */
export class SegmentReaders {
  readonly #files: SegmentFiles;
  readonly #readers = new Map<number, Reader>();

  constructor(components: { readonly files: SegmentFiles }) {
    this.#files = components.files;
  }

  async read(segment: number, into: Uint8Array, offset: number): Promise<number> {
    const reader = this.#take(segment);
    try {
      const file = await reader.file;
      return await file.read(into, offset);
    } catch (error) {
      // Opened anew next time: the file may have been missing for a while only.
      if (this.#readers.get(segment) === reader) this.#readers.delete(segment);
      reader.evicted = true;
      throw error;
    } finally {
      reader.users--;
      if (reader.evicted && reader.users === 0) {
        await closeReader(reader);
        reader.onUnused?.();
      }
    }
  }

  /** The segment is about to be deleted: resolves when nobody reads it any more. */
  async retire(segment: number): Promise<void> {
    const reader = this.#readers.get(segment);
    if (reader === undefined) return;
    this.#readers.delete(segment);
    reader.evicted = true;
    if (reader.users === 0) return await closeReader(reader);
    await new Promise<void>((resolve) => {
      reader.onUnused = resolve;
    });
  }

  async close(): Promise<void> {
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    for (const reader of readers) {
      reader.evicted = true;
      if (reader.users === 0) await closeReader(reader);
    }
  }

  #take(segment: number): Reader {
    let reader = this.#readers.get(segment);
    if (reader === undefined) {
      reader = { file: this.#files.open(segment, 'read'), users: 0, evicted: false, onUnused: undefined };
      reader.file.catch(() => {});
    } else {
      this.#readers.delete(segment);
    }
    this.#readers.set(segment, reader);
    reader.users++;
    if (this.#readers.size > OPEN_SEGMENTS_MAX) this.#evict();
    return reader;
  }

  #evict(): void {
    for (const [segment, reader] of this.#readers) {
      if (reader.users > 0) continue;
      this.#readers.delete(segment);
      reader.evicted = true;
      void closeReader(reader);
      return;
    }
  }
}

/** A handle that was only read from has nothing to lose when closing fails. */
async function closeReader(reader: Reader): Promise<void> {
  await reader.file.then((file) => file.close()).catch(() => {});
}

/** The content of a block, not compared with its hash. Throws BlockStoreError `corrupt` when its record is not what it must be. */
export async function readBlock(
  readers: SegmentReaders,
  storeId: Uint8Array,
  id: BlockId,
  entry: IndexEntry,
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + entry.length);
  let length: number;
  try {
    length = await readers.read(entry.segment, bytes, entry.offset);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM') throw storeError(error);
    // A sector that cannot be read, or a file that is gone: this copy is lost, another replica has one.
    throw new BlockStoreError('corrupt', `block ${id} cannot be read`, { cause: error });
  }
  const header = decodeRecordHeader(storeId, entry, bytes);
  if (
    length !== bytes.length ||
    header === undefined ||
    !hasContent(header.type) ||
    header.id !== id ||
    header.length !== entry.length
  ) {
    throw new BlockStoreError('corrupt', `record of block ${id} is damaged`);
  }
  return bytes.subarray(RECORD_HEADER_BYTES);
}
