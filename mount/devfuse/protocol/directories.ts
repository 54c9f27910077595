import type { Attr } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { DirectoryEntry } from '../../../src/ports/file-system.ts';
import { ENTRY_BYTES, putEntry, type Validities } from './attributes.ts';
import { OUT_HEADER_BYTES } from './constants.ts';
import { MessageWriter } from './wire.ts';

/** Packing directory entries into the reply to READDIR and READDIRPLUS. */

/** struct fuse_dirent up to the name. */
const DIRENT_BYTES = 24;
/** A name of one byte, padded. */
const DIRENT_BYTES_MIN = DIRENT_BYTES + 8;

function align8(length: number): number {
  return (length + 7) & ~7;
}

/** How many entries can fit at most into a reply of `sizeBytes`. */
export function entriesPerReply(sizeBytes: number, plus: boolean): number {
  return Math.floor(sizeBytes / ((plus ? ENTRY_BYTES : 0) + DIRENT_BYTES_MIN));
}

/** Fills one reply of at most `sizeBytes` with entries until one does not fit. */
export class DirectoryPacker {
  readonly #out: MessageWriter;
  readonly #end: number;
  readonly #plus: Validities | undefined;

  /** With `plus`: READDIRPLUS, whose attributes the kernel may use that long. */
  constructor(sizeBytes: number, plus: Validities | undefined) {
    this.#out = MessageWriter.reply(sizeBytes);
    this.#end = OUT_HEADER_BYTES + sizeBytes;
    this.#plus = plus;
  }

  /** False: it did not fit, and nothing was written. */
  add(entry: DirectoryEntry): boolean {
    const direntBytes = align8(DIRENT_BYTES + entry.name.length);
    const bytes = direntBytes + (this.#plus === undefined ? 0 : ENTRY_BYTES);
    if (this.#out.at + bytes > this.#end) return false;
    if (this.#plus !== undefined) this.#putEntry(entry.attr, this.#plus);
    this.#out
      .u64(entry.ino)
      .u64(entry.cookie)
      .u32(entry.name.length)
      .u32((entry.type & 0o170000) >>> 12)
      .raw(entry.name)
      .zeros(direntBytes - DIRENT_BYTES - entry.name.length);
    return true;
  }

  /** Without attributes the inode number is 0: the kernel takes the name only, and counts no lookup. */
  #putEntry(attr: Attr | undefined, validities: Validities): void {
    if (attr === undefined) this.#out.zeros(ENTRY_BYTES);
    else putEntry(this.#out, attr, validities);
  }

  finish(): Buffer {
    return this.#out.bytes.subarray(0, this.#out.at);
  }
}
