import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { flipByte } from './flip-byte.ts';

/** Flips a bit in the middle of `content`, wherever it lies in a table of the RocksDB in `directory`. Returns in how many places: what
 * compresses is not found. */
export async function flipInTables(directory: string, content: Uint8Array): Promise<number> {
  let flipped = 0;
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.sst')) continue;
    const file = path.join(directory, name);
    const bytes = await readFile(file);
    for (let at = bytes.indexOf(content); at >= 0; at = bytes.indexOf(content, at + 1)) {
      await flipByte(file, at + (content.length >> 1), 0x10);
      flipped += 1;
    }
  }
  return flipped;
}
