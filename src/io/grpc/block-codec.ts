import { EMPTY_BYTES } from '../../base/bytes.ts';
import { BlockReply, BlockRequest, GetReply, PutBlock } from '../../gen/ringfs/v1/block.ts';
import { type MessageCodec, serializer } from './codec.ts';

/**
 * The generated encoder grows a buffer, copies a block into it and copies it out again: four times the block's size in
 * garbage, and V8 runs a full collection for every 64 MiB of it. Here a message that carries a block is laid out
 * in one buffer of the right size. The bytes are the same protobuf, with `data` as the last field.
 */

/** Smaller ones are not worth the detour. */
const LARGE_BYTES_MIN = 4096;

/** Tag of a length-delimited field (protobuf encoding, "Message Structure"). */
const delimited = (field: number): number => (field << 3) | 2;

const PUT_TAG = delimited(2); // BlockRequest.put
const PUT_DATA_TAG = delimited(2); // PutBlock.data
const GET_TAG = delimited(3); // BlockReply.get
const GET_DATA_TAG = delimited(1); // GetReply.data

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let position = at;
  let rest = value;
  while (rest >= 0x80) {
    out[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[position++] = rest;
  return position;
}

/** `head` (the outer message without its body), then the body field with `inner` and the data field at its end. */
function layOut(
  head: Uint8Array,
  bodyTag: number,
  inner: Uint8Array,
  dataTag: number,
  data: Uint8Array,
): Buffer {
  const bodyLength = inner.length + 1 + varintSize(data.length) + data.length;
  const out = Buffer.allocUnsafeSlow(head.length + 1 + varintSize(bodyLength) + bodyLength);
  out.set(head, 0);
  let at = head.length;
  out[at++] = bodyTag;
  at = writeVarint(out, at, bodyLength);
  out.set(inner, at);
  at += inner.length;
  out[at++] = dataTag;
  at = writeVarint(out, at, data.length);
  out.set(data, at);
  return out;
}

const serializeAnyRequest = serializer(BlockRequest);
const serializeAnyReply = serializer(BlockReply);

export function serializeBlockRequest(message: BlockRequest): Buffer {
  const { id, body } = message;
  if (body?.$case !== 'put' || body.value.data.length < LARGE_BYTES_MIN) return serializeAnyRequest(message);
  const head = BlockRequest.encode({ id, body: undefined }).finish();
  const inner = PutBlock.encode({ ...body.value, data: EMPTY_BYTES }).finish();
  return layOut(head, PUT_TAG, inner, PUT_DATA_TAG, body.value.data);
}

export function serializeBlockReply(message: BlockReply): Buffer {
  const { id, body } = message;
  if (body?.$case !== 'get' || body.value.data.length < LARGE_BYTES_MIN) return serializeAnyReply(message);
  const head = BlockReply.encode({ id, body: undefined }).finish();
  const inner = GetReply.encode({ ...body.value, data: EMPTY_BYTES }).finish();
  return layOut(head, GET_TAG, inner, GET_DATA_TAG, body.value.data);
}

/** Codecs with the serializers above. */
export const blockRequestCodec: MessageCodec<BlockRequest> = {
  ...BlockRequest,
  serialize: serializeBlockRequest,
};
export const blockReplyCodec: MessageCodec<BlockReply> = { ...BlockReply, serialize: serializeBlockReply };
