import { seededRandom } from '../../src/base/random.ts';
import { localSegmentFiles } from '../../src/io/segments/files.ts';
import {
  decodeSegmentHeader,
  hasContent,
  RECORD_HEADER_BYTES,
  SEGMENT_HEADER_BYTES,
} from '../../src/io/segments/format.ts';
import { scanSegment } from '../../src/io/segments/scan.ts';

/** Flips bits of one byte of the content of up to `count` records of a block store, at seeded places. Returns how many. */
export async function corruptBlocks(directory: string, count: number, seed = 1): Promise<number> {
  const random = seededRandom(seed);
  const files = localSegmentFiles(directory);
  const hit = new Set<string>();
  for (const segment of await files.list()) {
    const file = await files.open(segment, 'append');
    const header = new Uint8Array(SEGMENT_HEADER_BYTES);
    await file.read(header, 0);
    const { storeId } = decodeSegmentHeader(header)!;
    const options = { storeId, segment, from: SEGMENT_HEADER_BYTES, verifyContent: false };
    await scanSegment(file, options, async ({ type, id, length, offset }) => {
      if (!hasContent(type) || length === 0 || hit.size >= count || hit.has(id)) return;
      hit.add(id);
      const at = offset + RECORD_HEADER_BYTES + random.below(length);
      const byte = new Uint8Array(1);
      await file.read(byte, at);
      byte[0]! ^= 1 + random.below(255);
      await file.write([byte], at);
    });
    await file.close();
  }
  return hit.size;
}
