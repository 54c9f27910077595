import { randomBytes, randomInt } from 'node:crypto';
import { type Random, seededRandom } from '../../base/random.ts';

/** The operating system's random numbers, for identifiers. */
export const systemRandom: Random = {
  next: () => randomInt(0x1_0000_0000) / 0x1_0000_0000,
  below: (bound) => (bound <= 1 ? 0 : randomInt(bound)),
  bytes: (length) => new Uint8Array(randomBytes(length)),
};

/** A fast generator with an unpredictable seed, for jitter. */
export function jitterRandom(): Random {
  return seededRandom(randomBytes(4).readUInt32LE(0));
}
