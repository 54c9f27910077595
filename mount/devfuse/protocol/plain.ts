import { OUT_HEADER_BYTES } from './constants.ts';
import { MessageWriter } from './wire.ts';

/** READLINK's reply: the target without an end mark. */
export function encodeBytes(value: Uint8Array): Buffer {
  return MessageWriter.reply(value.length).raw(value).bytes;
}

/** A reply without a body. */
export function encodeEmpty(): Buffer {
  return Buffer.allocUnsafe(OUT_HEADER_BYTES);
}
