import { IN_HEADER_BYTES, OUT_HEADER_BYTES } from './constants.ts';
import { MalformedRequest, MessageWriter, RequestReader } from './wire.ts';

/** struct fuse_in_header. */
export interface RequestHeader {
  readonly opcode: number;
  readonly unique: number;
  readonly nodeId: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** The number under which a request is answered, read without trusting the rest; undefined when not even that is there. */
export function peekUnique(bytes: Buffer): number | undefined {
  if (bytes.length < 16) return undefined;
  const unique = new RequestReader(bytes, 8).u64();
  return Number.isSafeInteger(unique) ? unique : undefined;
}

/** Throws MalformedRequest when the length is not the one that the header claims. */
export function decodeHeader(bytes: Buffer): { header: RequestHeader; body: RequestReader } {
  if (bytes.length < IN_HEADER_BYTES) throw new MalformedRequest(`request of ${bytes.length} bytes`);
  const reader = new RequestReader(bytes);
  const length = reader.u32();
  if (length !== bytes.length) {
    throw new MalformedRequest(`request of ${bytes.length} bytes says that it has ${length}`);
  }
  const opcode = reader.u32();
  const unique = reader.id();
  const nodeId = reader.id();
  const uid = reader.u32();
  const gid = reader.u32();
  const pid = reader.u32();
  const extensionBytes = reader.u16() * 8;
  reader.skip(2);
  if (extensionBytes > reader.remaining) throw new MalformedRequest('extensions longer than the request');
  const header = { opcode, unique, nodeId, uid, gid, pid };
  // Extensions stand at the end and none was negotiated; the body is what is before them.
  if (extensionBytes === 0) return { header, body: reader };
  return {
    header,
    body: new RequestReader(bytes.subarray(0, bytes.length - extensionBytes), IN_HEADER_BYTES),
  };
}

/** Fills in struct fuse_out_header at the start of `bytes`. `dataBytes`: what follows in further pieces. */
export function finishReply(bytes: Buffer, unique: number, dataBytes = 0): Buffer {
  new MessageWriter(bytes)
    .u32(bytes.length + dataBytes)
    .i32(0)
    .u64(unique);
  return bytes;
}

export function encodeError(unique: number, errno: number): Buffer {
  return new MessageWriter(Buffer.allocUnsafe(OUT_HEADER_BYTES))
    .u32(OUT_HEADER_BYTES)
    .i32(errno === 0 ? 0 : -errno)
    .u64(unique).bytes;
}
