/**
 * Sequential and random I/O, small files and metadata operations on a directory, printed as JSON.
 *
 *   node dist/test/bench/mount.js DIR [--mib 512] [--files 1000] [--only a,b]
 *
 * Data is random, so neither compression nor deduplication helps. As root the kernel's caches are dropped before reads.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mib: { type: 'string', default: '512' },
    files: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
  },
});
const root = positionals[0];
if (root === undefined) {
  process.stderr.write('usage: mount.js DIR [--mib N] [--files N] [--only name,name]\n');
  process.exit(2);
}
const mib = Number(values.mib);
const files = Number(values.files);
const only = values.only.split(',').filter((name) => name !== '');
const dir = fs.mkdtempSync(path.join(root, 'bench-'));
const noise = randomBytes(16 << 20);

/** Unique content at little cost: a window into random data with a counter stamped into every page. */
function megabyte(i: number): Buffer {
  const start = (i * 4096) % (15 << 20);
  const out = Buffer.from(noise.subarray(start, start + (1 << 20)));
  for (let at = 0; at < out.length; at += 4096) out.writeUInt32LE((i * 256 + at / 4096) >>> 0, at);
  return out;
}

let dropped = true;
function dropCaches(): void {
  try {
    execFileSync('sync');
    fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
  } catch {
    dropped = false; // not root: said in the output
  }
}

function seconds(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

const big = path.join(dir, 'big');
const small = path.join(dir, 'small');

function sequentialWrite(): number {
  return seconds(() => {
    const fd = fs.openSync(big, 'w');
    for (let i = 0; i < mib; i++) fs.writeSync(fd, megabyte(i));
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  });
}

function sequentialRead(): number {
  dropCaches();
  return seconds(() => {
    const fd = fs.openSync(big, 'r');
    const buffer = Buffer.allocUnsafe(1 << 20);
    let total = 0;
    for (let n = fs.readSync(fd, buffer); n > 0; n = fs.readSync(fd, buffer)) total += n;
    fs.closeSync(fd);
    if (total !== mib << 20) throw new Error(`read ${total} bytes of ${mib} MiB`);
  });
}

function randomIo(write: boolean): number {
  dropCaches();
  const fd = fs.openSync(big, write ? 'r+' : 'r');
  const page = Buffer.from(noise.subarray(0, 4096));
  let x = 12_345;
  const spent = seconds(() => {
    for (let i = 0; i < files; i++) {
      x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
      const at = (x % (mib * 256)) * 4096;
      if (write) fs.writeSync(fd, page, 0, 4096, at);
      else fs.readSync(fd, page, 0, 4096, at);
    }
    if (write) fs.fsyncSync(fd);
  });
  fs.closeSync(fd);
  return spent;
}

const each = (work: (i: number) => void): number =>
  seconds(() => Array.from({ length: files }, (_, i) => work(i)));

interface Case {
  readonly name: string;
  readonly unit: string;
  readonly run: () => number;
}

const cases: readonly Case[] = [
  { name: 'sequential-write-fsync', unit: 'MiB/s', run: () => mib / sequentialWrite() },
  { name: 'sequential-read-cold', unit: 'MiB/s', run: () => mib / sequentialRead() },
  { name: 'random-read-4k-cold', unit: 'op/s', run: () => files / randomIo(false) },
  { name: 'random-write-4k-fsync-at-end', unit: 'op/s', run: () => files / randomIo(true) },
  {
    name: 'append-512-fsync',
    unit: 'op/s',
    run: () => {
      const fd = fs.openSync(path.join(dir, 'log'), 'a');
      const spent = each(() => {
        fs.writeSync(fd, noise, 0, 512);
        fs.fsyncSync(fd);
      });
      fs.closeSync(fd);
      return files / spent;
    },
  },
  {
    name: 'create',
    unit: 'op/s',
    run: () => {
      fs.mkdirSync(path.join(dir, 'empty'));
      return files / each((i) => fs.closeSync(fs.openSync(path.join(dir, 'empty', String(i)), 'w')));
    },
  },
  {
    name: 'write-4k-files',
    unit: 'file/s',
    run: () => {
      fs.mkdirSync(small);
      return files / each((i) => fs.writeFileSync(path.join(small, String(i)), noise.subarray(i, i + 4096)));
    },
  },
  {
    name: 'stat-cold',
    unit: 'op/s',
    run: () => {
      dropCaches();
      return files / each((i) => fs.statSync(path.join(small, String(i))));
    },
  },
  {
    name: 'list-and-stat-cold',
    unit: 'entry/s',
    run: () => {
      dropCaches();
      const list = (): void => {
        for (const name of fs.readdirSync(small)) fs.lstatSync(path.join(small, name));
      };
      return files / seconds(list);
    },
  },
  {
    name: 'read-4k-files-cold',
    unit: 'file/s',
    run: () => {
      dropCaches();
      return files / each((i) => fs.readFileSync(path.join(small, String(i))));
    },
  },
  {
    name: 'rename',
    unit: 'op/s',
    run: () => files / each((i) => fs.renameSync(path.join(small, String(i)), path.join(small, `r${i}`))),
  },
  { name: 'unlink', unit: 'op/s', run: () => files / each((i) => fs.unlinkSync(path.join(small, `r${i}`))) },
];

const results = cases
  .filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)))
  .map(({ name, unit, run }) => ({ name, unit, value: Math.round(run() * 10) / 10 }));
fs.rmSync(dir, { recursive: true });
process.stdout.write(
  `${JSON.stringify({ dir: root, mib, files, kernelCachesDropped: dropped, results }, null, 2)}\n`,
);
