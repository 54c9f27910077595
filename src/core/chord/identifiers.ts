import { assert } from '../../base/assert.ts';

declare const brand: unique symbol;
/**
 * A point on the identifier circle of 2^256: 64 lower-case hexadecimal digits, so that the order of strings is the
 * order of numbers. Block identifiers are points too.
 */
export type Position = string & { readonly [brand]: 'Position' };

export const POSITION_BITS = 256;
const DIGITS = POSITION_BITS / 4;
const MODULUS = 1n << BigInt(POSITION_BITS);

export function toPosition(hex: string): Position {
  assert(hex.length === DIGITS && /^[0-9a-f]+$/.test(hex), 'a position has 64 hexadecimal digits');
  return hex as Position;
}

/** Whether `x` lies strictly between `a` and `b` going clockwise. With a = b, every other point does. */
export function isBetween(a: Position, x: Position, b: Position): boolean {
  if (a < b) return a < x && x < b;
  return x > a || (x < b && x !== a);
}

/** Whether `x` lies in (a, b] going clockwise. With a = b, every point does. */
export function isInRange(a: Position, x: Position, b: Position): boolean {
  return x === b || isBetween(a, x, b);
}

/** The point 2^bit clockwise of `position`. */
export function addPowerOfTwo(position: Position, bit: number): Position {
  assert(bit >= 0 && bit < POSITION_BITS, 'bit of a position');
  const sum = (BigInt(`0x${position}`) + (1n << BigInt(bit))) % MODULUS;
  return sum.toString(16).padStart(DIGITS, '0') as Position;
}

/** Length of (a, b] as a fraction of the circle, to about 50 bits. With a = b, the whole circle: 1. */
export function arcFraction(a: Position, b: Position): number {
  const length = (BigInt(`0x${b}`) - BigInt(`0x${a}`) + MODULUS) % MODULUS;
  return length === 0n ? 1 : Number(length >> 200n) / 2 ** 56;
}
