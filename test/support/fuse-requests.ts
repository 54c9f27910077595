import { IN_HEADER_BYTES } from '../../mount/devfuse/protocol/constants.ts';
import { MessageWriter } from '../../mount/devfuse/protocol/wire.ts';

export interface RequestFields {
  readonly unique?: number;
  readonly nodeId?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
}

/** A request as the kernel writes it. */
export function fuseRequest(
  opcode: number,
  body: Uint8Array = new Uint8Array(0),
  fields: RequestFields = {},
): Buffer {
  const { unique = 2, nodeId = 1, uid = 0, gid = 0, pid = 1 } = fields;
  return new MessageWriter(Buffer.alloc(IN_HEADER_BYTES + body.length))
    .u32(IN_HEADER_BYTES + body.length)
    .u32(opcode)
    .u64(unique)
    .u64(nodeId)
    .u32(uid)
    .u32(gid)
    .u32(pid)
    .u32(0)
    .raw(body).bytes;
}

export function u32s(...values: number[]): Buffer {
  const out = new MessageWriter(Buffer.alloc(values.length * 4));
  for (const value of values) out.u32(value);
  return out.bytes;
}

export function u64s(...values: number[]): Buffer {
  const out = new MessageWriter(Buffer.alloc(values.length * 8));
  for (const value of values) out.u64(value);
  return out.bytes;
}

export function cstrings(...values: string[]): Buffer {
  return Buffer.concat(values.map((value) => Buffer.from(`${value}\0`)));
}

/** struct fuse_init_in as Linux 6 sends it. */
export function initBody(flags = 0xffff_ffff, minor = 40, major = 7, flags2 = 0): Buffer {
  return Buffer.concat([u32s(major, minor, 131_072, flags, flags2), Buffer.alloc(44)]);
}

export interface DecodedReply {
  readonly unique: number;
  readonly errno: number;
  readonly body: Buffer;
}

export function decodeReply(bytes: Buffer): DecodedReply {
  const length = bytes.readUInt32LE(0);
  if (length !== bytes.length) throw new Error(`reply of ${bytes.length} bytes says ${length}`);
  return {
    unique: Number(bytes.readBigUInt64LE(8)),
    errno: Math.abs(bytes.readInt32LE(4)),
    body: bytes.subarray(16),
  };
}
