import { createHash } from 'node:crypto';
import type { BlockId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';

export interface TestBlock {
  readonly id: BlockId;
  readonly data: Uint8Array;
}

export function blockIdOf(data: Uint8Array): BlockId {
  return createHash('sha256').update(data).digest('hex') as BlockId;
}

/** Always the same content for the same seed and length. */
export function testBlock(seed: number, length = 1000): TestBlock {
  const data = seededRandom(seed).bytes(length);
  return { id: blockIdOf(data), data };
}

export function testBlocks(count: number, length = 1000, first = 0): TestBlock[] {
  return Array.from({ length: count }, (_, i) => testBlock(first + i + 1, length));
}
