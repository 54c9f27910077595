import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { syncDirectory } from '../../io/os/sync-directory.ts';
import { decodeDump } from '../../meta/maintenance/dump-format.ts';
import { CliError } from '../cli-error.ts';

/** Reads ahead in pieces of this size. */
const READ_BYTES = 1 << 20;

/** `-` is standard input. Reading throws MaintenanceError for what is no whole dump. */
export function readDumpFile(file: string): AsyncIterableIterator<SnapshotPart> {
  if (file === '-') return decodeDump(process.stdin);
  if (!existsSync(file))
    throw new CliError(`there is no ${file}`, 'name a file that ringfs meta dump has written');
  return decodeDump(createReadStream(file, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>);
}

/** `-` is standard output. The file has its name only once it is whole and on the disk. Returns its bytes. */
export async function writeDumpFile(file: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  if (file === '-') return await writeOut(pieces);
  if (existsSync(file)) throw new CliError(`${file} exists`, 'a dump is not overwritten: name another file');
  const temporary = `${file}.part`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    const bytes = await fill(handle, pieces);
    await handle.sync();
    await handle.close();
    await rename(temporary, file);
    await syncDirectory(path.dirname(file));
    return bytes;
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
}

async function fill(handle: FileHandle, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
    bytes += piece.length;
  }
  return bytes;
}

async function writeOut(pieces: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of pieces) {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
    bytes += piece.length;
  }
  return bytes;
}
