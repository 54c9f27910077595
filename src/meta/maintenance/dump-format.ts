import { equalBytes } from '../../base/bytes.ts';
import { type ReadableVersions, versionRefusal } from '../../base/format-version.ts';
import { DUMP_FRAME_BYTES_MAX } from '../../base/limits.ts';
import { SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { crc32 } from '../raft/log-codec.ts';
import { damagedDump, MaintenanceError } from './errors.ts';

/**
 * A dump: a snapshot stream (../raft/snapshot-stream.ts) in a file. FORMAT.md describes it; change both together. A magic and
 * a version, then the parts, each as its length, the CRC-32 of its bytes and its bytes. The trailer has the SHA-256 of all rows.
 */

const MAGIC = new TextEncoder().encode('RINGDUMP');
const DUMP_FORMAT_VERSION = 1;
const DUMP_VERSIONS: ReadableVersions = { oldest: 1, newest: DUMP_FORMAT_VERSION };
const PREFIX_BYTES = 12;
const FRAME_HEADER_BYTES = 8;
const NOTHING = new Uint8Array(0);

/** The bytes of the file, in pieces. */
export async function* encodeDump(parts: AsyncIterable<SnapshotPart>): AsyncIterableIterator<Uint8Array> {
  const prefix = new Uint8Array(PREFIX_BYTES);
  prefix.set(MAGIC);
  new DataView(prefix.buffer).setUint32(MAGIC.length, DUMP_FORMAT_VERSION);
  yield prefix;
  for await (const part of parts) {
    const body = SnapshotPart.encode(part).finish();
    const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, body.length);
    view.setUint32(4, crc32(NOTHING, body));
    frame.set(body, FRAME_HEADER_BYTES);
    yield frame;
  }
}

/** The parts of a dump. Whether they make a whole one is for readHeader and readRows to say. Throws MaintenanceError. */
export async function* decodeDump(file: AsyncIterable<Uint8Array>): AsyncIterableIterator<SnapshotPart> {
  const reader = new ByteReader(file[Symbol.asyncIterator]());
  try {
    checkPrefix(await reader.take(PREFIX_BYTES));
    for (let number = 1; ; number++) {
      const part = await readPart(reader, number);
      if (part === undefined) return;
      const last = part.body?.$case === 'trailer';
      // Before the reader has the trailer and looks no further.
      if (last && (await reader.take(1)).length > 0) throw damagedDump('there is something behind its end');
      yield part;
      if (last) return;
    }
  } finally {
    await reader.close();
  }
}

function checkPrefix(prefix: Uint8Array): void {
  if (prefix.length < PREFIX_BYTES || !equalBytes(prefix.subarray(0, MAGIC.length), MAGIC)) {
    throw new MaintenanceError(
      'this is not a dump of RingFS’s metadata',
      'name a file that ringfs meta dump has written',
    );
  }
  const version = new DataView(prefix.buffer, prefix.byteOffset).getUint32(MAGIC.length);
  const wrong = versionRefusal(version, DUMP_VERSIONS);
  if (wrong !== undefined) throw new MaintenanceError(`the dump ${wrong.problem}`, wrong.advice);
}

/** Undefined at the end of the file. */
async function readPart(reader: ByteReader, number: number): Promise<SnapshotPart | undefined> {
  const header = await reader.take(FRAME_HEADER_BYTES);
  if (header.length === 0) return undefined;
  if (header.length < FRAME_HEADER_BYTES) throw damagedDump(`it ends within part ${number}`);
  const view = new DataView(header.buffer, header.byteOffset, FRAME_HEADER_BYTES);
  const length = view.getUint32(0);
  if (length > DUMP_FRAME_BYTES_MAX) throw damagedDump(`part ${number} has an impossible length`);
  const checksum = view.getUint32(4);
  const body = await reader.take(length);
  if (body.length < length) throw damagedDump(`it ends within part ${number}`);
  if (crc32(NOTHING, body) !== checksum) throw damagedDump(`part ${number} has a wrong checksum`);
  try {
    return SnapshotPart.decode(body);
  } catch (error) {
    throw damagedDump(`part ${number} cannot be decoded`, error);
  }
}

/** Cuts pieces of any size into such as are asked for. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = NOTHING;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** Fewer only at the end. The bytes are the caller's. */
  async take(length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.length === 0) {
        const next = await this.#source.next();
        if (next.done === true) return out.subarray(0, filled);
        this.#rest = next.value;
        continue;
      }
      const piece = this.#rest.subarray(0, length - filled);
      out.set(piece, filled);
      filled += piece.length;
      this.#rest = this.#rest.subarray(piece.length);
    }
    return out;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
