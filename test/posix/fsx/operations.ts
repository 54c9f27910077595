import { constants } from 'node:fs';
import { type Exerciser, FILE_NAME, type Operation, PAGE_BYTES, type Worker } from './exerciser.ts';

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

const has = (worker: Worker, flag: number): boolean => (worker.flags & flag) !== 0;
const isDirect = (worker: Worker): boolean => has(worker, constants.O_DIRECT);
const isAppend = (worker: Worker): boolean => has(worker, constants.O_APPEND);

/** Mostly short, sometimes long; half of all ends are at a page, where mistakes are. */
function range(run: Exerciser, limit: number): { from: number; to: number } {
  const { random } = run;
  const longest =
    random.below(3) === 0 ? Math.ceil(run.sizeMax / 4) : random.below(2) === 0 ? 3 * PAGE_BYTES : 200;
  const snap = (at: number): number => (random.below(4) === 0 ? at - (at % PAGE_BYTES) : at);
  const from = snap(random.below(limit));
  const to = Math.min(limit, snap(from + 1 + random.below(longest)));
  return to > from ? { from, to } : { from, to: Math.min(limit, from + 1) };
}

/** As other file system exercisers do, writes begin within the file or a little behind it more often than far away. */
function writeRange(run: Exerciser): { from: number; to: number } {
  const near = Math.min(run.sizeMax, run.model.size + 2 * PAGE_BYTES);
  return range(run, run.random.below(4) === 0 ? run.sizeMax : near);
}

async function read(run: Exerciser, worker: Worker): Promise<void> {
  const { from, to } = range(run, Math.max(1, run.model.size));
  run.log(worker, 'read', from, to);
  const { data } = await run.call(worker, ['pread', worker.fd, run.base + from, to - from]);
  run.check(from, data, to - from, 'read');
}

async function write(run: Exerciser, worker: Worker): Promise<void> {
  let { from, to } = writeRange(run);
  if (isAppend(worker)) [from, to] = [run.model.size, Math.min(run.sizeMax, run.model.size + to - from)];
  const data = Buffer.from(run.random.bytes(to - from));
  run.log(worker, isAppend(worker) ? 'append' : 'write', from, to);
  const { result } = await run.call(worker, ['pwrite', worker.fd, run.base + from], data);
  if (result !== data.length) run.fail(`write took ${result} of ${data.length} bytes`, from);
  run.model.put(run.operation, from, data);
}

async function mapRead(run: Exerciser, worker: Worker): Promise<void> {
  const { from, to } = range(run, run.model.size);
  // The rest of the last page is zero, whatever was there before.
  const end = run.random.below(4) === 0 ? Math.ceil(to / PAGE_BYTES) * PAGE_BYTES : to;
  run.log(worker, 'mapread', from, end);
  const { data } = await run.call(worker, ['mapread', worker.fd, run.base + from, end - from]);
  const inFile = Math.min(end, run.model.size) - from;
  run.check(from, data.subarray(0, inFile), inFile, 'mapread');
  if (data.subarray(inFile).some((byte) => byte !== 0))
    run.fail('mapread: not zero behind the end', from + inFile);
}

async function mapWrite(run: Exerciser, worker: Worker): Promise<void> {
  const { from, to } = range(run, run.model.size);
  const synced = run.random.below(2);
  const data = Buffer.from(run.random.bytes(to - from));
  run.log(worker, synced ? 'mapwrite, msync' : 'mapwrite', from, to);
  await run.call(worker, ['mapwrite', worker.fd, run.base + from, synced], data);
  run.model.put(run.operation, from, data);
}

async function truncate(run: Exerciser, worker: Worker): Promise<void> {
  const [size, before] = [run.random.below(run.sizeMax + 1), run.model.size];
  const byPath = run.random.below(3) === 0;
  run.log(worker, byPath ? `truncate by path to ${size}` : `truncate to ${size}`, ...ascending(size, before));
  const words = byPath ? ['truncate', FILE_NAME] : ['ftruncate', worker.fd];
  await run.call(worker, [...words, run.base + size]);
  run.model.resize(run.operation, size);
}

const ascending = (a: number, b: number): [number, number] => (a < b ? [a, b] : [b, a]);

async function fallocate(run: Exerciser, worker: Worker, mode: number, name: string): Promise<void> {
  const { from, to } = writeRange(run);
  run.log(worker, name, from, to);
  await run.call(worker, ['fallocate', worker.fd, mode, run.base + from, to - from]);
  const { model, operation } = run;
  if ((mode & FALLOC_FL_KEEP_SIZE) === 0 && to > model.size) model.resize(operation, to);
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) !== 0) model.zero(operation, from, to);
}

async function copy(run: Exerciser, worker: Worker): Promise<void> {
  const { model, random, operation } = run;
  const source = range(run, model.size);
  const length = source.to - source.from;
  const to = random.below(run.sizeMax - length + 1);
  if (to < source.to && source.from < to + length) return; // EINVAL: the ranges overlap
  run.log(worker, `copy ${length} bytes from`, source.from, source.to);
  run.log(worker, 'copy to', to, to + length);
  const words = ['copyrange', worker.fd, run.base + source.from, worker.fd, run.base + to, length];
  const { result } = await run.call(worker, words);
  // It may copy less than it was asked for, but not nothing.
  if (result < 1 || result > length) run.fail(`copy_file_range returned ${result} of ${length}`, to);
  model.copy(operation, source.from, to, result);
}

/** Goes along the file; what is called a hole must be zeros, and the parts must join. */
async function seekHoles(run: Exerciser, worker: Worker): Promise<void> {
  const { model, base } = run;
  run.log(worker, 'seek data and holes');
  for (let at = 0, parts = 0; at < model.size && parts < 64; parts++) {
    const data = await worker.agent.call(['lseek', worker.fd, base + at, SEEK_DATA]);
    if (data.result < 0 && data.errno !== 'ENXIO') run.fail(`SEEK_DATA: ${data.errno}`, at);
    const start = data.result < 0 ? model.size : data.result - base;
    if (start < at || start > model.size) run.fail(`SEEK_DATA from ${at} went to ${start}`, at);
    const nonZero = model.slice(at, start).findIndex((byte) => byte !== 0);
    if (nonZero >= 0) run.fail(`SEEK_DATA from ${at} to ${start} passes data`, at + nonZero);
    if (start === model.size) return;
    const hole = await run.call(worker, ['lseek', worker.fd, base + start, SEEK_HOLE]);
    at = hole.result - base;
    if (at <= start || at > model.size) run.fail(`SEEK_HOLE from ${start} went to ${at}`, start);
  }
}

async function reopen(run: Exerciser, worker: Worker): Promise<void> {
  await run.close(worker);
  await run.open(worker);
}

const simple =
  (name: string, call: string) =>
  async (run: Exerciser, worker: Worker): Promise<void> => {
    run.log(worker, name);
    await run.call(worker, [call, worker.fd]);
  };

const notEmpty = (run: Exerciser): boolean => run.model.size > 0;
const canMap = (run: Exerciser, worker: Worker): boolean => notEmpty(run) && !isDirect(worker);
const canMapWrite = (run: Exerciser, worker: Worker): boolean =>
  canMap(run, worker) && (run.features.has('mapped-append') || !isAppend(worker));

export const OPERATIONS: readonly Operation[] = [
  { name: 'read', weight: 14, run: read },
  { name: 'write', weight: 14, run: write },
  { name: 'mapread', weight: 8, able: canMap, run: mapRead },
  { name: 'mapwrite', weight: 8, able: canMapWrite, run: mapWrite },
  { name: 'truncate', weight: 4, run: truncate },
  {
    name: 'allocate',
    weight: 1,
    needs: 'allocate',
    run: (run, worker) => fallocate(run, worker, 0, 'fallocate'),
  },
  {
    name: 'keep-size',
    weight: 1,
    needs: 'keep-size',
    run: (run, worker) => fallocate(run, worker, FALLOC_FL_KEEP_SIZE, 'fallocate, keeping the size'),
  },
  {
    name: 'punch',
    weight: 4,
    needs: 'punch',
    run: (run, worker) => fallocate(run, worker, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 'punch'),
  },
  {
    name: 'zero',
    weight: 2,
    needs: 'zero',
    run: (run, worker) => fallocate(run, worker, FALLOC_FL_ZERO_RANGE, 'zero'),
  },
  {
    name: 'zero-keep-size',
    weight: 1,
    needs: 'zero',
    run: (run, worker) =>
      fallocate(run, worker, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 'zero, keeping the size'),
  },
  { name: 'copy', weight: 4, needs: 'copy', able: (run, w) => notEmpty(run) && !isAppend(w), run: copy },
  { name: 'seek', weight: 2, needs: 'seek-data', run: seekHoles },
  { name: 'fsync', weight: 2, run: simple('fsync', 'fsync') },
  { name: 'fdatasync', weight: 1, run: simple('fdatasync', 'fdatasync') },
  { name: 'drop', weight: 2, run: simple('drop cached pages', 'drop') },
  { name: 'size', weight: 3, run: (run, worker) => run.checkSize(worker) },
  { name: 'reopen', weight: 3, run: reopen },
  { name: 'verify', weight: 1, run: (run, worker) => run.verify(worker) },
];
