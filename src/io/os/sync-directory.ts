import { open } from 'node:fs/promises';

/** Makes the names in a directory durable: a file that was created or renamed has its name only after this. Rejects with a `code`. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
