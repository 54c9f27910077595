/**
 * The front ends alone, over the memory file system: node dist/test/bench/fuse-front-end.js [devfuse|fuse-native]. By hand, on a
 * quiet machine, as root.
 */
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execute } from '../posix/posix-case.ts';
import { type FrontEndKind, mountMemoryFs } from '../support/mounted-memory-fs.ts';

const MIB = 1024 * 1024;
const FILES = 10_000;
const CONCURRENCY = 4;

const kind = (process.argv[2] ?? 'devfuse') as FrontEndKind;

function report(what: string, count: number, unit: string, startedMs: number): void {
  const seconds = (performance.now() - startedMs) / 1000;
  process.stdout.write(
    `${what.padEnd(34)} ${Math.round(count / seconds)
      .toLocaleString('en')
      .padStart(9)} ${unit}\n`,
  );
}

/** Runs `work` for each index, `CONCURRENCY` at once. */
async function each(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, run));
}

/** System calls in a tight loop of one process: what a single-threaded program gets. */
async function inPython(what: string, dir: string, count: number, program: string): Promise<void> {
  const started = performance.now();
  const { code, stderr } = await execute('python3', ['-c', program, String(count)], { cwd: dir });
  if (code !== 0) throw new Error(stderr);
  report(`${what} (one process)`, count, '/s', started);
}

async function sequential(dir: string, sizeMiB: number): Promise<void> {
  const block = Buffer.alloc(MIB, 7);
  const path = join(dir, 'large');
  for (const round of ['first', 'again']) {
    const file = await open(path, round === 'first' ? 'w' : 'r+');
    const started = performance.now();
    for (let i = 0; i < sizeMiB; i++) await file.write(block, 0, MIB, i * MIB);
    report(`write 1 MiB blocks, ${round}`, sizeMiB, 'MiB/s', started);
    await file.close();
  }
  await execute('sh', ['-c', 'echo 1 > /proc/sys/vm/drop_caches']);
  const file = await open(path, 'r');
  const started = performance.now();
  for (let i = 0; i < sizeMiB; i++) await file.read(block, 0, MIB, i * MIB);
  report('read 1 MiB blocks', sizeMiB, 'MiB/s', started);
  await file.close();
  await rm(path);
}

async function small(dir: string): Promise<void> {
  const sub = join(dir, 'small');
  await mkdir(sub);
  const path = (i: number): string => join(sub, `file${i}`);
  let started = performance.now();
  await each(FILES, (i) => writeFile(path(i), '', { flag: 'wx' }));
  report(`create, ${CONCURRENCY} at once`, FILES, '/s', started);
  started = performance.now();
  await each(FILES * 2, (i) => stat(path(i % FILES)));
  report(`stat, ${CONCURRENCY} at once`, FILES * 2, '/s', started);
  started = performance.now();
  await each(FILES, (i) => writeFile(path(i), Buffer.alloc(4096, i)));
  report(`rewrite 4 KiB, ${CONCURRENCY} at once`, FILES, '/s', started);
  started = performance.now();
  await each(FILES, (i) => readFile(path(i)));
  report(`read 4 KiB, ${CONCURRENCY} at once`, FILES, '/s', started);
  started = performance.now();
  for (let i = 0; i < 20; i++) await readdir(sub);
  report('list entries', FILES * 20, '/s', started);
  started = performance.now();
  await each(FILES, (i) => rm(path(i)));
  report(`rm, ${CONCURRENCY} at once`, FILES, '/s', started);
}

const mounted = await mountMemoryFs(kind);
try {
  await sequential(mounted.directory, 256);
  await small(mounted.directory);
  const dir = mounted.directory;
  await inPython(
    'create',
    dir,
    FILES,
    "import os, sys\nfor i in range(int(sys.argv[1])): os.close(os.open(f'p{i}', os.O_CREAT | os.O_EXCL | os.O_WRONLY))",
  );
  await inPython(
    'lookup',
    dir,
    FILES * 2,
    "import os, sys\nfor i in range(int(sys.argv[1])): os.stat(f'p{i % 10000}')",
  );
  await inPython(
    'unlink',
    dir,
    FILES,
    "import os, sys\nfor i in range(int(sys.argv[1])): os.unlink(f'p{i}')",
  );
} finally {
  await mounted.close();
}
