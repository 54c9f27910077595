import { OUT_HEADER_BYTES } from './constants.ts';

/** A request that the kernel would not send. Answered with EINVAL. */
export class MalformedRequest extends Error {
  override readonly name = 'MalformedRequest';
}

const TWO_32 = 2 ** 32;

/**
 * Reads the fields of one request in order, in the byte order of the machine, which the front end checks to be little
 * endian. Throws MalformedRequest where the request is too short.
 */
export class RequestReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) {
      throw new MalformedRequest(`request of ${this.#bytes.length} bytes ends within a field`);
    }
    this.#at = at + count;
    return at;
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** Exact up to 2^53, rounded above: enough to see that an offset is out of range. */
  u64(): number {
    const at = this.#take(8);
    return this.#bytes.readUInt32LE(at) + this.#bytes.readUInt32LE(at + 4) * TWO_32;
  }

  /** All 64 bits. */
  big(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  /** A handle, inode number or request number: one that we or the kernel counted up from a small number. */
  id(): number {
    const value = this.u64();
    if (!Number.isSafeInteger(value)) throw new MalformedRequest(`${value} is not an identifier`);
    return value;
  }

  /** Seconds since 1970, which may be before it. */
  i64(): number {
    const at = this.#take(8);
    return this.#bytes.readUInt32LE(at) + this.#bytes.readInt32LE(at + 4) * TWO_32;
  }

  skip(count: number): void {
    this.#take(count);
  }

  bytes(count: number): Buffer {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** The bytes up to a zero, which is consumed. Empty is refused: no message has an empty string. */
  cstring(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new MalformedRequest('string without an end');
    if (end === this.#at) throw new MalformedRequest('empty string');
    const out = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return out;
  }
}

/** Writes the fields of a message in order into a buffer of known size. */
export class MessageWriter {
  readonly bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.#at = at;
  }

  /** A reply with `bodyBytes` of body; its header is filled in when it is sent. */
  static reply(bodyBytes: number): MessageWriter {
    return new MessageWriter(Buffer.allocUnsafe(OUT_HEADER_BYTES + bodyBytes), OUT_HEADER_BYTES);
  }

  get at(): number {
    return this.#at;
  }

  u16(value: number): this {
    this.#at = this.bytes.writeUInt16LE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.bytes.writeUInt32LE(value, this.#at);
    return this;
  }

  i32(value: number): this {
    this.#at = this.bytes.writeInt32LE(value, this.#at);
    return this;
  }

  /** A non-negative integer. */
  u64(value: number): this {
    this.bytes.writeUInt32LE(value % TWO_32, this.#at);
    this.#at = this.bytes.writeUInt32LE(Math.floor(value / TWO_32), this.#at + 4);
    return this;
  }

  big(value: bigint): this {
    this.#at = this.bytes.writeBigUInt64LE(value, this.#at);
    return this;
  }

  i64(value: number): this {
    if (value >= 0) return this.u64(value);
    this.#at = this.bytes.writeBigInt64LE(BigInt(value), this.#at);
    return this;
  }

  raw(value: Uint8Array): this {
    this.bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  zeros(count: number): this {
    this.bytes.fill(0, this.#at, this.#at + count);
    this.#at += count;
    return this;
  }
}
