import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';

/** What ts-proto generates for every message. */
export interface MessageCodec<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
  /** In place of `encode`, where a message has a faster way. */
  readonly serialize?: (message: T) => Buffer;
}

/** A view, not a copy: a block of 4 MiB is copied often enough on its way. */
export function serializer<T>(codec: MessageCodec<T>): (message: T) => Buffer {
  if (codec.serialize !== undefined) return codec.serialize;
  return (message) => {
    const bytes = codec.encode(message).finish();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

export function deserializer<T>(codec: MessageCodec<T>): (bytes: Buffer) => T {
  return (bytes) => codec.decode(bytes);
}
