/** Byte strings without Buffer, for the pure core. */

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** By character code; 16 for what is no digit. */
const DIGIT = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase());
  return digit < 0 ? 16 : digit;
});

export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const b of bytes) out += HEX[b];
  return out;
}

/** Throws RangeError when `hex` is not an even number of hexadecimal digits. */
export function fromHex(hex: string): Uint8Array {
  const out = new Uint8Array(hex.length >> 1);
  let valid = hex.length % 2 === 0;
  for (let i = 0; i < out.length; i++) {
    const high = hex.charCodeAt(i * 2);
    const low = hex.charCodeAt(i * 2 + 1);
    valid &&= (high | low) < 128 && (DIGIT[high]! | DIGIT[low]!) < 16;
    out[i] = (DIGIT[high]! << 4) | DIGIT[low]!;
  }
  if (!valid) throw new RangeError(`not hexadecimal: ${hex}`);
  return out;
}

/** Lexicographic order of unsigned bytes: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const d = a[i]! - b[i]!;
    if (d !== 0) return d;
  }
  return a.length - b.length;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const p of parts) length += p.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** What one call may be given as arguments on every engine's stack. */
const APPLY_MAX = 4096;

// Spread goes through an iterator, which takes several times as long.
function charactersOf(bytes: Uint8Array): string {
  return String.fromCharCode.apply(undefined, bytes as unknown as number[]);
}

/** One character per byte: a Map key for a byte string that need not be UTF-8. The inverse is `fromBinary`. */
export function toBinary(bytes: Uint8Array): string {
  if (bytes.length <= APPLY_MAX) return charactersOf(bytes);
  let out = '';
  for (let i = 0; i < bytes.length; i += APPLY_MAX) out += charactersOf(bytes.subarray(i, i + APPLY_MAX));
  return out;
}

export function fromBinary(text: string): Uint8Array {
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

/** The same bytes as a plain Uint8Array: a Buffer's `slice` shares memory where a Uint8Array's copies. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.constructor === Uint8Array) return bytes;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);
