import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { ringfs, TestCluster, until } from '../support/test-cluster.ts';

const MIB = 1024 * 1024;

interface GcJson {
  readonly cluster: {
    readonly inGraceBlocks: number;
    readonly dueBlocks: number;
    readonly deletingBlocks: number;
    readonly reclaimedBytes: number;
  };
  readonly nodes: readonly {
    readonly storedBytes: number;
    readonly fileBytes: number;
    readonly blocks: number;
  }[];
}

function gc(cluster: TestCluster, ...args: string[]): GcJson | undefined {
  const { status, stdout } = ringfs('gc', '--json', '--data', cluster.data, ...args);
  return status === 0 ? (JSON.parse(stdout) as GcJson) : undefined;
}

function write(file: string, content: Uint8Array): void {
  const fd = openSync(file, 'w');
  try {
    writeSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const fileBytes = (json: GcJson): number => json.nodes.reduce((sum, node) => sum + node.fileBytes, 0);

/** With settings that reach the servers as variables. */
async function start(settings: Readonly<Record<string, string>>, ...args: string[]): Promise<TestCluster> {
  Object.assign(process.env, settings);
  try {
    return await TestCluster.start(...args);
  } finally {
    for (const name of Object.keys(settings)) delete process.env[name];
  }
}

describe('deleted data', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await start({ RINGFS_GC_GRACE: '2' });
  });
  after(() => cluster.remove());

  it('gives its space back, although a server is killed meanwhile', async () => {
    mkdirSync(cluster.path('dir'));
    for (let i = 0; i < 32; i++) write(cluster.path('dir', `f${i}`), randomBytes(8 * MIB));
    const kept = randomBytes(5 * MIB);
    write(cluster.path('kept'), kept);
    const full = await until('all servers tell', () => gc(cluster, '--dry-run'));
    assert.ok(fileBytes(full) > 2 * 256 * MIB, `${fileBytes(full)} bytes in segments`);
    rmSync(cluster.path('dir'), { recursive: true });
    const victim = cluster.status().servers.find((server) => server.raft?.role !== 'leader');
    assert.ok(victim?.pid);
    process.kill(victim.pid, 'SIGKILL');
    // It comes back with its copies and has to be told.
    await until('the space is back', () => {
      const now = gc(cluster);
      return now !== undefined && now.nodes.length === 3 && fileBytes(now) < 100 * MIB ? now : undefined;
    });
    await until('every row is dropped', () => {
      const now = gc(cluster);
      return now !== undefined && now.cluster.reclaimedBytes >= 256 * MIB ? now : undefined;
    });
    assert.ok(readFileSync(cluster.path('kept')).equals(kept));
  });

  it('is not lost when it is written again while it is being deleted', async () => {
    const contents = Array.from({ length: 4 }, () => randomBytes(3 * MIB));
    for (let round = 0; round < 12; round++) {
      contents.forEach((content, i) => {
        write(cluster.path(`again${i}`), content);
      });
      contents.forEach((content, i) => {
        assert.ok(readFileSync(cluster.path(`again${i}`)).equals(content), `round ${round}`);
        unlinkSync(cluster.path(`again${i}`));
      });
      // So that marking, deleting and dropping fall into all places of a round.
      gc(cluster, ...(round % 2 === 0 ? ['--dry-run'] : []));
    }
    contents.forEach((content, i) => {
      write(cluster.path(`again${i}`), content);
    });
    await until('all that is not referred to is gone', () => {
      const now = gc(cluster);
      const { inGraceBlocks, dueBlocks, deletingBlocks } = now?.cluster ?? {
        inGraceBlocks: 1,
        dueBlocks: 1,
        deletingBlocks: 1,
      };
      return inGraceBlocks + dueBlocks + deletingBlocks === 0 ? now : undefined;
    });
    assert.equal(await cluster.stop(), 0);
    await cluster.up();
    contents.forEach((content, i) => {
      assert.ok(readFileSync(cluster.path(`again${i}`)).equals(content));
    });
  });

  it('is told in a table', () => {
    const { status, stdout } = ringfs('gc', '--dry-run', '--data', cluster.data);
    assert.equal(status, 0);
    assert.match(stdout, /being deleted/);
    assert.match(stdout, /s3/);
  });
});

describe('a full cluster', () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await start({ RINGFS_GC_GRACE: '2', RINGFS_CAPACITY: '96M' }, '--nodes', '1');
  });
  after(() => cluster.remove());

  it('takes data again after some was removed', async () => {
    for (let round = 0; round < 2; round++) {
      const kept: { readonly name: string; readonly content: Buffer }[] = [];
      assert.throws(
        () => {
          for (let i = 0; i < 100; i++) {
            const content = randomBytes(4 * MIB);
            write(cluster.path(`r${round}-${i}`), content);
            kept.push({ name: cluster.path(`r${round}-${i}`), content });
          }
        },
        { code: 'ENOSPC' },
      );
      assert.ok(kept.length >= 10, `${kept.length} files fit in round ${round}`);
      for (const { name, content } of kept) assert.ok(readFileSync(name).equals(content));
      for (let i = 0; i <= kept.length; i++) rmSync(cluster.path(`r${round}-${i}`), { force: true });
      await until('there is room again', () => {
        const now = gc(cluster);
        return now !== undefined && fileBytes(now) < 20 * MIB ? now : undefined;
      });
    }
    writeFileSync(cluster.path('after'), 'works');
    assert.equal(readFileSync(cluster.path('after'), 'utf8'), 'works');
  });
});
