import { createHash } from 'node:crypto';
import { BLOCK_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { SegmentFile } from './files.ts';
import {
  decodeRecordHeader,
  hasContent,
  RECORD_ALIGNMENT,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordSize,
} from './format.ts';

export interface ScannedRecord extends RecordHeader {
  readonly offset: number;
}

export interface ScanOptions {
  readonly storeId: Uint8Array;
  readonly segment: number;
  readonly from: number;
  /** Read and hash the content too: for records that may not have reached the disk whole. */
  readonly verifyContent: boolean;
}

export interface ScanResult {
  /** End of the last good record. */
  readonly goodEnd: number;
  /** Bytes between good records that belong to none. */
  readonly damagedBytes: number;
}

const WINDOW_BYTES = 256 * 1024;

/**
 * Calls `onRecord` for every good record of a segment, in order. Writes of several blocks run at the same time, so
 * a crash can leave a hole before a record that was acknowledged: the scan goes on behind any damage. What stored
 * data holds can not pass for a record, because a record's checksum covers its position and the store's identifier.
 */
export async function scanSegment(
  file: SegmentFile,
  options: ScanOptions,
  onRecord: (record: ScannedRecord) => Promise<void>,
): Promise<ScanResult> {
  const size = await file.size();
  const reader = new WindowReader(file, size);
  const content = options.verifyContent ? new Uint8Array(BLOCK_SIZE_BYTES_MAX) : undefined;
  let offset = options.from;
  let goodEnd = options.from;
  let damagedBytes = 0;
  while (offset + RECORD_HEADER_BYTES <= size) {
    const bytes = await reader.at(offset);
    const header = decodeRecordHeader(options.storeId, { segment: options.segment, offset }, bytes);
    if (header === undefined) {
      offset += RECORD_ALIGNMENT;
      continue;
    }
    const whole = !hasContent(header.type) || offset + RECORD_HEADER_BYTES + header.length <= size;
    const good = content === undefined || contentIsGood(file, { ...header, offset }, content);
    if (whole && (await good)) {
      damagedBytes += offset - goodEnd;
      await onRecord({ ...header, offset });
      goodEnd = offset + recordSize(header.type, header.length);
      offset = goodEnd;
    } else {
      // Its length is not to be trusted more than its content: look for the next record right behind the header.
      offset += RECORD_ALIGNMENT;
    }
  }
  return { goodEnd, damagedBytes };
}

/** Reads and hashes what a record holds. */
export async function contentIsGood(
  file: SegmentFile,
  { type, id, length, offset }: ScannedRecord,
  buffer = new Uint8Array(length),
): Promise<boolean> {
  if (!hasContent(type)) return true;
  const content = buffer.subarray(0, length);
  if ((await file.read(content, offset + RECORD_HEADER_BYTES)) !== length) return false;
  return createHash('sha256').update(content).digest('hex') === id;
}

/** Serves record headers out of larger reads. */
class WindowReader {
  readonly #file: SegmentFile;
  readonly #size: number;
  readonly #buffer = new Uint8Array(WINDOW_BYTES);
  #start = 0;
  #length = 0;
  #previous = -1;

  constructor(file: SegmentFile, size: number) {
    this.#file = file;
    this.#size = size;
  }

  async at(offset: number): Promise<Uint8Array> {
    const end = this.#start + this.#length;
    if (offset < this.#start || offset + RECORD_HEADER_BYTES > end) {
      // Headers of large blocks lie far apart: read a whole window only while the steps are small.
      const near = offset - this.#previous < WINDOW_BYTES;
      const wanted = Math.min(near ? WINDOW_BYTES : RECORD_HEADER_BYTES, this.#size - offset);
      this.#length = await this.#file.read(this.#buffer.subarray(0, wanted), offset);
      this.#start = offset;
    }
    this.#previous = offset;
    const from = offset - this.#start;
    return this.#buffer.subarray(from, Math.min(from + RECORD_HEADER_BYTES, this.#length));
  }
}
