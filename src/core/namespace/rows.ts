import { Attr, Chunk, CommitResult, Dentry, type MessageFns } from '../../gen/ringfs/v1/namespace.ts';
import {
  BitmapRow,
  BlockNodeRow,
  BlockRow,
  ClusterRow,
  CondemnedRow,
  CountersRow,
  LockedInodesRow,
  LockRow,
  LockWaiterRow,
  NonceRow,
  OrphanRow,
  ReclaimRow,
  SessionRow,
  XattrNamesRow,
  XattrRow,
} from '../../gen/ringfs/v1/rows.ts';
import type { RowCodec } from './types.ts';

/** The message of each table. */

/** One for all rows: a writer keeps its buffer, and `finish` copies out of it and starts anew. */
let writer = freshWriter();

function freshWriter(): ReturnType<MessageFns<CondemnedRow>['encode']> {
  // A message without fields set writes nothing. Only generated code names the writer's class.
  return CondemnedRow.encode({ length: 0 });
}

function encodeRow<T>(message: MessageFns<T>, value: T): Uint8Array {
  try {
    return message.encode(value, writer).finish();
  } catch (error) {
    // What was written so far must not end up in the next row.
    writer = freshWriter();
    throw error;
  }
}

function codec<T>(message: MessageFns<T>): RowCodec<T> {
  return {
    encode: (value) => encodeRow(message, value),
    decode: (bytes) => message.decode(bytes),
  };
}

export const ATTR: RowCodec<Attr> = codec(Attr);
export const DENTRY: RowCodec<Dentry> = codec(Dentry);
export const CHUNK: RowCodec<Chunk> = codec(Chunk);
export const ANSWER: RowCodec<CommitResult> = codec(CommitResult);
export const CLUSTER: RowCodec<ClusterRow> = codec(ClusterRow);
export const COUNTERS: RowCodec<CountersRow> = codec(CountersRow);
export const XATTR_NAMES: RowCodec<XattrNamesRow> = codec(XattrNamesRow);
export const XATTR: RowCodec<XattrRow> = codec(XattrRow);
export const BITMAP: RowCodec<BitmapRow> = codec(BitmapRow);
export const BLOCK: RowCodec<BlockRow> = codec(BlockRow);
export const CONDEMNED: RowCodec<CondemnedRow> = codec(CondemnedRow);
export const RECLAIM: RowCodec<ReclaimRow> = codec(ReclaimRow);
export const SESSION: RowCodec<SessionRow> = codec(SessionRow);
export const NONCE: RowCodec<NonceRow> = codec(NonceRow);
export const ORPHAN: RowCodec<OrphanRow> = codec(OrphanRow);
export const BLOCK_NODE: RowCodec<BlockNodeRow> = codec(BlockNodeRow);
export const LOCK: RowCodec<LockRow> = codec(LockRow);
export const LOCKED_INODES: RowCodec<LockedInodesRow> = codec(LockedInodesRow);
export const LOCK_WAITER: RowCodec<LockWaiterRow> = codec(LockWaiterRow);
