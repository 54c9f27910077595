import { EMPTY_BYTES } from '../../base/bytes.ts';
import { BlockReply, BlockRequest, GetReply, PutBlock } from '../../gen/ringfs/v1/block.ts';
import { type MessageCodec, serializer } from './codec.ts';

/**
 * The generated encoder grows a buffer, copies a block into it and copies it out again, and grpc-js copies the result
 * behind its 5-byte prefix: four times the block's size in garbage, and V8 runs a full collection for every 64 MiB
 * of it. Here a message that carries a block is not laid out before grpc-js asks for a copy in its own buffer. The bytes are
 * the same protobuf, with `data` as the last field.
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

/** The field `data` of the body field `bodyTag`, behind the other fields of both messages. */
interface Layout {
  /** The outer message without its body. */
  readonly head: Uint8Array;
  readonly bodyTag: number;
  /** The body without its data. */
  readonly inner: Uint8Array;
  readonly dataTag: number;
  readonly data: Uint8Array;
}

/**
 * What grpc-js uses of a serialized message: its length, and a copy of it at a place in a buffer. Both of its ends do
 * just that (compression-filter and server-interceptors of 1.14; the contract tests of the streams would tell).
 */
class UncopiedMessage {
  readonly length: number;
  readonly byteLength: number;
  readonly #layout: Layout;
  readonly #bodyLength: number;

  constructor(layout: Layout) {
    const { head, inner, data } = layout;
    this.#layout = layout;
    this.#bodyLength = inner.length + 1 + varintSize(data.length) + data.length;
    this.length = head.length + 1 + varintSize(this.#bodyLength) + this.#bodyLength;
    this.byteLength = this.length;
  }

  copy(target: Buffer, targetStart: number): number {
    const { head, bodyTag, inner, dataTag, data } = this.#layout;
    target.set(head, targetStart);
    let at = targetStart + head.length;
    target[at++] = bodyTag;
    at = writeVarint(target, at, this.#bodyLength);
    target.set(inner, at);
    at += inner.length;
    target[at++] = dataTag;
    at = writeVarint(target, at, data.length);
    target.set(data, at);
    return this.length;
  }
}

const uncopied = (layout: Layout): Buffer => new UncopiedMessage(layout) as unknown as Buffer;

const serializeAnyRequest = serializer(BlockRequest);
const serializeAnyReply = serializer(BlockReply);

export function serializeBlockRequest(message: BlockRequest): Buffer {
  const { id, body } = message;
  if (body?.$case !== 'put' || body.value.data.length < LARGE_BYTES_MIN) return serializeAnyRequest(message);
  const head = BlockRequest.encode({ id, body: undefined }).finish();
  const inner = PutBlock.encode({ ...body.value, data: EMPTY_BYTES }).finish();
  return uncopied({ head, bodyTag: PUT_TAG, inner, dataTag: PUT_DATA_TAG, data: body.value.data });
}

export function serializeBlockReply(message: BlockReply): Buffer {
  const { id, body } = message;
  if (body?.$case !== 'get' || body.value.data.length < LARGE_BYTES_MIN) return serializeAnyReply(message);
  const head = BlockReply.encode({ id, body: undefined }).finish();
  const inner = GetReply.encode({ ...body.value, data: EMPTY_BYTES }).finish();
  return uncopied({ head, bodyTag: GET_TAG, inner, dataTag: GET_DATA_TAG, data: body.value.data });
}

/** Codecs with the serializers above. */
export const blockRequestCodec: MessageCodec<BlockRequest> = {
  ...BlockRequest,
  serialize: serializeBlockRequest,
};
export const blockReplyCodec: MessageCodec<BlockReply> = { ...BlockReply, serialize: serializeBlockReply };
