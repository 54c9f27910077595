/** The exerciser in its short form: on the local disk, which shows that it is right, and on a cluster with two mounts. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CompiledAgent, SyscallAgent } from '../support/syscall-agent.ts';
import { ringfs, TestCluster } from '../support/test-cluster.ts';
import { Exerciser, FILE_NAME, FsxDifference, type FsxOptions } from './fsx/exerciser.ts';
import { OPERATIONS } from './fsx/operations.ts';

const KIB = 1024;
const SMALL = { seed: 20_260_728, sizeMax: 256 * KIB };

let compiled: CompiledAgent;
let scratch = '';
before(async () => {
  compiled = new CompiledAgent();
  scratch = await mkdtemp(join(tmpdir(), 'ringfs-fsx-'));
});
after(async () => {
  compiled[Symbol.dispose]();
  await rm(scratch, { recursive: true });
});

interface Exercise {
  /** One process for each: the same directory, through the mounts that are meant. */
  readonly directories: readonly string[];
  readonly options: FsxOptions;
  readonly operations: number;
}

async function exercise({ directories, options, operations }: Exercise): Promise<void> {
  const agents = directories.map((dir) => new SyscallAgent(compiled, dir));
  try {
    // What is left out is in the output of the test.
    const run = new Exerciser(
      { agents, operations: OPERATIONS },
      { say: (line) => console.log(line), ...options },
    );
    await run.start();
    await run.run(operations);
    await run.finish();
  } finally {
    for (const agent of agents) await agent.end();
  }
}

describe('the exerciser on the local disk', () => {
  it('finds no difference', async () => {
    const directory = join(scratch, 'right');
    await mkdir(directory);
    const base = 1024 * KIB;
    await exercise({ directories: [directory], options: { ...SMALL, base }, operations: 1500 });
  });

  it('finds no difference with three processes and hand-over', async () => {
    const directory = join(scratch, 'three');
    await mkdir(directory);
    const directories = [directory, directory, directory];
    await exercise({ directories, options: SMALL, operations: 500 });
    await exercise({ directories, options: { ...SMALL, handOver: true }, operations: 500 });
  });

  it('notices a single wrong byte, and says who wrote there', async () => {
    const directory = join(scratch, 'wrong');
    await mkdir(directory);
    const agent = new SyscallAgent(compiled, directory);
    const run = new Exerciser({ agents: [agent], operations: OPERATIONS }, SMALL);
    await run.start();
    while (run.model.size === 0) await run.run(1);
    const at = run.model.size - 1;
    const file = await open(join(directory, FILE_NAME), 'r+');
    await file.write(Uint8Array.of(run.model.slice(at, at + 1)[0]! ^ 1), 0, 1, at);
    await file.close();
    await assert.rejects(run.finish(), (error) => {
      assert.ok(error instanceof FsxDifference, String(error));
      assert.match(error.message, /1 bytes differ; .* last set by operation \d+ \(at \d+\)\nseed 20260728/);
      return true;
    });
    await agent.end();
  });

  it('notices a wrong size', async () => {
    const directory = join(scratch, 'longer');
    await mkdir(directory);
    const agent = new SyscallAgent(compiled, directory);
    const run = new Exerciser({ agents: [agent], operations: OPERATIONS }, SMALL);
    await run.start();
    const file = await open(join(directory, FILE_NAME), 'r+');
    await file.truncate(run.model.size + 1);
    await file.close();
    await assert.rejects(run.finish(), /st_size is \d+, not \d+/);
    await agent.end();
  });
});

for (const driver of ['devfuse', 'fuse-native'] as const) {
  describe(`the exerciser on a cluster mounted twice with ${driver}`, () => {
    let cluster: TestCluster;
    let other = '';
    before(async () => {
      cluster = await TestCluster.start('--driver', driver);
      other = await mkdtemp(join(tmpdir(), 'ringfs-fsx-second-'));
      const log = join(scratch, `${driver}.log`);
      const mounted = ringfs(
        'mount',
        '-o',
        `driver=${driver},log=${log}`,
        cluster.addresses.join(','),
        other,
      );
      assert.equal(mounted.status, 0, mounted.stderr);
    });
    after(async () => {
      const done = ringfs('umount', other);
      await rm(other, { recursive: true });
      await cluster.remove();
      assert.equal(done.status, 0, done.stderr);
    });
    const without = driver === 'fuse-native' ? (['mapped-append'] as const) : [];

    it('one process', async () => {
      const directory = cluster.path('one');
      await mkdir(directory);
      await exercise({ directories: [directory], options: { ...SMALL, without }, operations: 600 });
    });

    it('three processes on one mount', async () => {
      const directory = cluster.path('three');
      await mkdir(directory);
      const directories = [directory, directory, directory];
      await exercise({ directories, options: { ...SMALL, without }, operations: 400 });
    });

    it('two mounts that hand the file over', async () => {
      await mkdir(cluster.path('both'));
      const directories = [cluster.path('both'), join(other, 'both')];
      await exercise({ directories, options: { ...SMALL, without, handOver: true }, operations: 400 });
    });

    it('over the boundaries of blocks and chunks', async () => {
      const directory = cluster.path('large');
      await mkdir(directory);
      const options = { ...SMALL, sizeMax: 8192 * KIB, base: 60 * 1024 * KIB, without };
      await exercise({ directories: [directory], options, operations: 60 });
    });
  });
}
