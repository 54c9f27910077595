import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { corruptBlocks } from '../support/corrupt-blocks.ts';
import { flipByte } from '../support/flip-byte.ts';
import { ringfs, type ServerStatusJson, TestCluster, until } from '../support/test-cluster.ts';

const BLOCKS = 80;
const BLOCK_BYTES = 40_000;

interface FsckJson {
  readonly status: number;
  readonly damagedFiles: readonly {
    readonly path: string | null;
    readonly ranges: readonly { offset: number; length: number; verdict: string }[];
  }[];
  readonly blocks: { blocks: number; good: number; repaired: number; degraded: number; lost: number };
  readonly nodes: readonly { id: string; corrupt: number; missing: number }[];
  readonly findingCount: number;
}

describe('damage on one replica', () => {
  let cluster: TestCluster;
  const fsck = (...args: string[]): FsckJson => {
    const { status, stdout, stderr } = ringfs('fsck', '--json', '--data', cluster.data, ...args);
    assert.notEqual(stdout, '', stderr);
    const json = JSON.parse(stdout) as FsckJson;
    assert.equal(status, json.status, stderr);
    return json;
  };
  const folderOf = (server: string): string => path.join(cluster.data, server, 'block');

  before(async () => {
    cluster = await TestCluster.start();
    // Nodes heal what they know to be bad when they walk over their blocks: just now, and not again for a minute.
    const log = (id: string): string => readFileSync(path.join(cluster.data, 'logs', `${id}.log`), 'utf8');
    await until('every node has walked', () =>
      ['s1', 's2', 's3'].every((id) => log(id).includes('walked over all blocks')),
    );
    mkdirSync(cluster.path('dir'));
    for (let i = 0; i < BLOCKS; i++) writeFileSync(cluster.path('dir', `f${i}`), randomBytes(BLOCK_BYTES));
    await until('every block has its copies', () => fsck('--fast').status === 0);
  });
  after(() => cluster.remove());

  it('is found by fsck, named by file and range', async () => {
    assert.equal(await corruptBlocks(folderOf('s1'), BLOCKS), BLOCKS);
    const found = fsck();
    assert.equal(found.status, 4);
    assert.deepEqual([found.findingCount, found.blocks.degraded, found.blocks.lost], [0, BLOCKS, 0]);
    assert.equal(found.nodes.find(({ id }) => id === 's1')?.corrupt, BLOCKS);
    const wanted = Array.from({ length: BLOCKS }, (_, i) => `/dir/f${i}`);
    assert.deepEqual(found.damagedFiles.map((file) => file.path).sort(), wanted.sort());
    for (const { ranges } of found.damagedFiles) {
      assert.equal(
        ranges.reduce((sum, { length }) => sum + length, 0),
        BLOCK_BYTES,
      );
    }
  });

  it('is repaired by fsck --repair', () => {
    const { status, blocks } = fsck('--repair');
    // Should a node have walked over them since, it has healed some itself.
    assert.deepEqual([blocks.good + blocks.repaired, blocks.degraded, blocks.lost], [BLOCKS, 0, 0]);
    assert.equal(status, blocks.repaired > 0 ? 1 : 0);
    const clean = fsck();
    assert.deepEqual([clean.status, clean.blocks.good, clean.damagedFiles], [0, BLOCKS, []]);
  });

  it('of blocks, segments and the index is found by the next start and the scrubber, and healed', async () => {
    await cluster.stop();
    assert.equal(await corruptBlocks(folderOf('s2'), BLOCKS), BLOCKS);
    await flipByte(path.join(folderOf('s3'), 'seg-00000001.dat'), 20);
    await flipByte(path.join(folderOf('s1'), 'index', 'CURRENT'), 3);
    const settings = { RINGFS_SCRUB_INTERVAL: '1', RINGFS_SCRUB_RATE: '1G' };
    Object.assign(process.env, settings);
    try {
      await cluster.up();
    } finally {
      for (const name of Object.keys(settings)) delete process.env[name];
    }
    const server = (id: string): ServerStatusJson => cluster.status().servers.find((one) => one.id === id)!;

    const scrub = await until('the scrubber has healed all', () => {
      const status = server('s2').ring?.scrub;
      return status !== undefined && status !== null && status.healed >= BLOCKS ? status : undefined;
    });
    assert.deepEqual([scrub.found, scrub.healed], [BLOCKS, BLOCKS]);

    const s3 = await until('the damaged segment is set aside', () => {
      const status = server('s3');
      return status.ring?.quarantinedSegments === 1 ? status : undefined;
    });
    assert.equal(s3.health, 'degraded');
    assert.match(s3.detail, /1 damaged segments are set aside in .*quarantine/);
    const quarantine = path.join(folderOf('s3'), 'quarantine');
    assert.deepEqual(readdirSync(quarantine), ['seg-00000001.dat']);

    assert.ok(existsSync(path.join(folderOf('s1'), 'index.damaged')));
    assert.match(readFileSync(path.join(cluster.data, 'logs', 's1.log'), 'utf8'), /rebuilding it/);

    const { status, blocks } = fsck();
    assert.deepEqual([status, blocks.good], [0, BLOCKS], 'nothing is missing anywhere');
    rmSync(quarantine, { recursive: true });
    await until('an operator has looked at it', () => server('s3').health === 'ok');
    const last = await until('a pass is over that finds nothing', () =>
      cluster
        .status()
        .servers.map((one) => one.ring?.scrub?.lastPass)
        .find((pass) => pass?.bad === 0 && pass.blocks === BLOCKS),
    );
    assert.ok(last.endedUnixSec > 1_700_000_000);
  });
});
