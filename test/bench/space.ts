/**
 * The space that a tree takes that is stored twice and then deleted, on a cluster of three servers and a real mount, printed as JSON:
 * bytes in the servers' data directories after each step, and how long it took until they were given back.
 *
 *   node dist/test/bench/space.js [--mib 2048] [--files 400] [--grace 10]
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ringfs, sh, TestCluster, until } from '../support/test-cluster.ts';
import { rounded } from './bench-servers.ts';

const RECLAIM_MS_MAX = 600_000;

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '2048' },
    files: { type: 'string', default: '400' },
    grace: { type: 'string', default: '10' },
  },
});
const files = Number(values.files);
const treeBytes = Number(values.mib) * 2 ** 20;

/** Of different sizes, twice the mean at most. */
function writeTree(root: string): void {
  const noise = randomBytes(16 << 20);
  for (let i = 0; i < files; i++) {
    const folder = path.join(root, `d${i % 20}`);
    mkdirSync(folder, { recursive: true });
    const fd = openSync(path.join(folder, `f${i}`), 'w');
    let left = Math.round((((2 * i + 1) / files) * treeBytes) / files);
    for (let at = 0; left > 0; at++) {
      const piece = Buffer.from(noise.subarray(0, Math.min(1 << 20, left)));
      // No page of it is like another one.
      for (let page = 0; page + 8 <= piece.length; page += 4096) {
        piece.writeUInt32LE(i, page);
        piece.writeUInt32LE(at * 256 + page / 4096, page + 4);
      }
      writeSync(fd, piece);
      left -= piece.length;
    }
    fsyncSync(fd);
    closeSync(fd);
  }
}

process.env['RINGFS_GC_GRACE'] = values.grace;
const cluster = await TestCluster.start();
const stored = (): number => {
  const out = execFileSync('du', ['-sB1', path.join(cluster.data)], { encoding: 'utf8' });
  return Math.round(Number(out.split('\t')[0]) / 2 ** 20);
};
const blocks = (): number => cluster.status().servers.reduce((sum, { ring }) => sum + (ring?.blocks ?? 0), 0);
const steps: object[] = [];
const step = async (what: string, work: () => void | Promise<void>): Promise<void> => {
  const begun = performance.now();
  await work();
  const seconds = rounded((performance.now() - begun) / 1_000, 1);
  steps.push({ what, seconds, storedMiB: stored(), copies: blocks() });
  process.stderr.write(`${JSON.stringify(steps.at(-1))}\n`);
};
const replicated = async (): Promise<void> => {
  await until(
    'every block has its copies',
    () => ringfs('fsck', '--fast', '--data', cluster.data).status === 0,
    RECLAIM_MS_MAX,
  );
};

try {
  const [first, second] = [cluster.path('first'), cluster.path('second')];
  await step('empty', () => undefined);
  await step('tree written', async () => {
    writeTree(first);
    await replicated();
  });
  const one = stored();
  // Through a buffer: cp would have the file system copy by reference, which stores nothing to begin with.
  await step('tree stored again, as other bytes of the same content', async () => {
    sh(`mkdir '${second}' && tar -C '${first}' -cf - . | tar -C '${second}' -xf -`);
    await replicated();
  });
  await step('first tree deleted', () => rmSync(first, { recursive: true }));
  await step('second tree deleted', () => rmSync(second, { recursive: true }));
  await step('no block is left, after the grace', () =>
    until('no block is left', () => blocks() === 0, RECLAIM_MS_MAX).then(() => undefined),
  );
  await step('ringfs gc', () => {
    const { status, stderr } = ringfs('gc', '--data', cluster.data);
    if (status !== 0) throw new Error(stderr);
  });
  await step('nine tenths of the space are free', () =>
    until('the space is free', () => stored() < one / 10, RECLAIM_MS_MAX).then(() => undefined),
  );
  process.stdout.write(`${JSON.stringify({ treeMiB: Number(values.mib), files, steps }, null, 2)}\n`);
} finally {
  await cluster.remove();
}
