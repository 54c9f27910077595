import { open } from 'node:fs/promises';

/** Flips bits of one byte of a file: all of them, or those of `mask`. */
export async function flipByte(file: string, offset: number, mask = 0xff): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const byte = new Uint8Array(1);
    await handle.read(byte, 0, 1, offset);
    byte[0]! ^= mask;
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}
