import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { emit, type Inbox, told } from './emit.ts';

const PAUSE_MS = 20;
const FILE_BYTES_MAX = 300_000;
/** A writer keeps so many of its files. Those before are removed, some time after it has said so. */
const FILES_KEPT = 300;
const FORGOTTEN_BEFORE = 50;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Writes file after file, each synced and closed before its hash is acknowledged. */
export async function writer(directory: string, name: string, inbox: Inbox): Promise<void> {
  for (let n = 0; !inbox.ended; n++) {
    const bytes = randomBytes(1 + Math.floor(Math.random() * FILE_BYTES_MAX));
    const file = `${name}-${n}`;
    const written = await told('write', async () => {
      const handle = await open(path.join(directory, file), 'w');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      return true;
    });
    if (written === true) emit({ kind: 'acknowledged', key: file, value: sha256(bytes) });
    if (n >= FILES_KEPT) emit({ kind: 'forgotten', key: `${name}-${n - FILES_KEPT}` });
    const old = n - FILES_KEPT - FORGOTTEN_BEFORE;
    if (old >= 0) await told('unlink', () => rm(path.join(directory, `${name}-${old}`), { force: true }));
    await sleep(PAUSE_MS);
  }
}

/** Reads what was acknowledged elsewhere. */
export async function reader(directory: string, _name: string, inbox: Inbox): Promise<void> {
  while (!inbox.ended) {
    const next = inbox.take();
    if (next === undefined) {
      await sleep(PAUSE_MS);
      continue;
    }
    const bytes = await told('read', () =>
      readFile(path.join(directory, next.path)).catch((error: unknown) => {
        if (inbox.isForgotten(next.path)) return undefined;
        throw error;
      }),
    );
    if (bytes !== undefined && sha256(bytes) !== next.sha256) {
      emit({
        kind: 'wrong',
        what: 'read',
        detail: `${next.path} has ${bytes.length} bytes that were not written`,
      });
    }
  }
}

const RECORD_BYTES = 128;

/** Appends records of one size to a file that all appenders share. */
export async function appender(directory: string, name: string, inbox: Inbox): Promise<void> {
  for (let n = 0; !inbox.ended; n++) {
    const record = `${name} ${n} `.padEnd(RECORD_BYTES - 1, '.');
    const appended = await told('append', async () => {
      const handle = await open(path.join(directory, 'log'), 'a');
      try {
        await handle.write(`${record}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      return true;
    });
    if (appended === true) emit({ kind: 'acknowledged', key: `${name} ${n}`, value: '' });
    await sleep(PAUSE_MS);
  }
}

/** The records of a log, and what in it is no record. */
export async function readLog(directory: string): Promise<{ records: Map<string, number>; torn: string[] }> {
  const text = await readFile(path.join(directory, 'log'), 'utf8');
  const records = new Map<string, number>();
  const torn: string[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, key] = /^(\S+ \d+) \.*$/.exec(line) ?? [];
    if (key === undefined || line.length !== RECORD_BYTES - 1) torn.push(line.slice(0, 200));
    else records.set(key, (records.get(key) ?? 0) + 1);
  }
  return { records, torn };
}
