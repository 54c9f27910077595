import { createHash, type Hash } from 'node:crypto';
import { equalBytes } from '../../base/bytes.ts';
import { SNAPSHOT_PART_BYTES_MAX } from '../../base/limits.ts';
import type { SnapshotHeader, SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { SnapshotRefusedError } from './errors.ts';

export type Row = readonly [key: Uint8Array, value: Uint8Array];

/** SHA-256 over every key and value, each preceded by its length as uint32 big endian. */
class RowDigest {
  readonly #hash: Hash = createHash('sha256');
  rows = 0;

  add(keys: readonly Uint8Array[], values: readonly Uint8Array[]): void {
    let length = 0;
    for (let at = 0; at < keys.length; at++) length += 8 + keys[at]!.length + values[at]!.length;
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    let offset = 0;
    const put = (piece: Uint8Array): void => {
      view.setUint32(offset, piece.length);
      bytes.set(piece, offset + 4);
      offset += 4 + piece.length;
    };
    for (let at = 0; at < keys.length; at++) {
      put(keys[at]!);
      put(values[at]!);
    }
    this.#hash.update(bytes);
    this.rows += keys.length;
  }

  finish(): Uint8Array {
    return new Uint8Array(this.#hash.digest());
  }
}

/** The stream of one snapshot. Rows are read as the parts are pulled, so a slow receiver costs no memory. */
export async function* encodeSnapshot(
  header: SnapshotHeader,
  rows: AsyncIterable<Row>,
): AsyncIterableIterator<SnapshotPart> {
  yield { body: { $case: 'header', value: header } };
  const digest = new RowDigest();
  let keys: Uint8Array[] = [];
  let values: Uint8Array[] = [];
  let bytes = 0;
  const part = (): SnapshotPart => {
    digest.add(keys, values);
    const body = { $case: 'rows' as const, value: { keys, values } };
    [keys, values, bytes] = [[], [], 0];
    return { body };
  };
  for await (const [key, value] of rows) {
    keys.push(key);
    values.push(value);
    bytes += key.length + value.length;
    if (bytes >= SNAPSHOT_PART_BYTES_MAX) yield part();
  }
  if (keys.length > 0) yield part();
  yield { body: { $case: 'trailer', value: { rows: digest.rows, sha256: digest.finish() } } };
}

/** The header of a stream, before any row is read. */
export async function readHeader(parts: AsyncIterator<SnapshotPart>): Promise<SnapshotHeader> {
  const first = await parts.next();
  const body = first.done === true ? undefined : first.value.body;
  if (body?.$case !== 'header') throw new SnapshotRefusedError('a snapshot stream starts with a header');
  return body.value;
}

/** Hands every row to `write` and resolves when the trailer has been verified. Throws SnapshotRefusedError. */
export async function readRows(
  parts: AsyncIterator<SnapshotPart>,
  write: (rows: readonly Row[]) => Promise<void>,
): Promise<void> {
  const digest = new RowDigest();
  for (;;) {
    const next = await parts.next();
    if (next.done === true) throw new SnapshotRefusedError('the snapshot stream ended early');
    const body = next.value.body;
    if (body?.$case === 'rows') {
      const { keys, values } = body.value;
      if (keys.length !== values.length) throw new SnapshotRefusedError('keys and values do not match');
      digest.add(keys, values);
      await write(keys.map((key, at) => [key, values[at]!]));
    } else if (body?.$case === 'trailer') {
      const { rows, sha256 } = body.value;
      if (rows !== digest.rows || !equalBytes(sha256, digest.finish())) {
        throw new SnapshotRefusedError('the snapshot does not match its checksum');
      }
      return;
    } else {
      throw new SnapshotRefusedError('a snapshot is rows and a trailer');
    }
  }
}
