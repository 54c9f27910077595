/**
 * How long a cluster of three servers takes to find and heal damaged blocks: node dist/test/bench/heal.js [blocks] [KiB per block].
 * Bits of one byte are flipped in the content of so many records of one server's segments; then fsck --repair runs, and after as much
 * damage again the scrubber, at 1 GiB/s.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { corruptBlocks } from '../support/corrupt-blocks.ts';
import { ringfs, TestCluster, until } from '../support/test-cluster.ts';

const blocks = Number(process.argv[2] ?? 1000);
const blockBytes = Number(process.argv[3] ?? 64) * 1024;

interface FsckJson {
  readonly status: number;
  readonly blocks: { blocks: number; good: number; repaired: number; degraded: number };
}

function fsck(cluster: TestCluster, ...args: string[]): FsckJson {
  const { stdout, stderr } = ringfs('fsck', '--json', '--data', cluster.data, ...args);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as FsckJson;
}

async function timed<T>(what: string, work: () => T | Promise<T>, tell: (result: T) => string): Promise<T> {
  const start = performance.now();
  const result = await work();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`${what}: ${tell(result)} in ${seconds} s\n`);
  return result;
}

process.env['RINGFS_SCRUB_INTERVAL'] = '3600';
const cluster = await TestCluster.start();
try {
  mkdirSync(cluster.path('dir'));
  for (let i = 0; i < blocks; i++)
    writeFileSync(cluster.path('dir', `f${i}`), randomBytes(blockBytes), { flush: i === blocks - 1 });
  await until('every block has its copies', () => {
    const { status, blocks: sums } = fsck(cluster, '--fast');
    return status === 0 && sums.blocks >= blocks;
  });
  process.stdout.write(
    `${fsck(cluster, '--fast').blocks.blocks} blocks of ${blockBytes / 1024} KiB on 3 nodes\n`,
  );

  process.stdout.write(
    `${await corruptBlocks(path.join(cluster.data, 's1', 'block'), blocks, 1)} corrupted on s1\n`,
  );
  await timed(
    'fsck',
    () => fsck(cluster),
    (json) => `${json.blocks.degraded} found`,
  );
  await timed(
    'fsck --repair',
    () => fsck(cluster, '--repair'),
    (json) => `${json.blocks.repaired} repaired`,
  );
  await timed(
    'fsck',
    () => fsck(cluster),
    (json) => `${json.blocks.good} good, status ${json.status}`,
  );

  await cluster.stop();
  process.stdout.write(
    `${await corruptBlocks(path.join(cluster.data, 's2', 'block'), blocks, 2)} corrupted on s2\n`,
  );
  Object.assign(process.env, { RINGFS_SCRUB_INTERVAL: '1', RINGFS_SCRUB_RATE: '1G' });
  await cluster.up();
  const healed = (): { found: number; healed: number } | undefined => {
    const scrub = cluster.status().servers.find((server) => server.id === 's2')?.ring?.scrub;
    return scrub !== null && scrub !== undefined && scrub.healed >= blocks ? scrub : undefined;
  };
  const tell = (scrub: { found: number; healed: number }): string =>
    `${scrub.found} found, ${scrub.healed} healed`;
  await timed(
    'scrubber, from the start of the servers',
    () => until('all are healed', healed, 600_000),
    tell,
  );
  await timed(
    'fsck',
    () => fsck(cluster),
    (json) => `${json.blocks.good} good, status ${json.status}`,
  );
} finally {
  await cluster.remove();
}
