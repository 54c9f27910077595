/** What several mounts of one cluster show each other, with the kernel's caches in use on all. The oracle is one local directory. */
import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import { ringfs, until } from '../support/test-cluster.ts';
import { appendFromAll, contend, crossMountCases } from './cross-mount-cases.ts';
import { MountedThrice } from './cross-mounts.ts';
import { FUSE_NATIVE_LACKS, pattern, shell } from './posix-case.ts';
import { reasonToSkip } from './posix-suite.ts';

describe('across mounts: one local directory three times', () => {
  for (const { name, run } of crossMountCases(1, { wholeReads: false })) {
    it(name, async () => {
      const dir = await mkdtemp(join(tmpdir(), 'ringfs-cross-'));
      await run([dir, dir, dir]);
      await rm(dir, { recursive: true });
    });
  }
});

describe('across three mounts of a cluster', () => {
  let mounted: MountedThrice;
  before(async () => {
    mounted = await MountedThrice.start();
  });
  after(() => mounted.remove());

  crossMountCases(1, { wholeReads: true }).forEach(({ name, run }, index) => {
    it(name, () => mounted.inDirectory(`case-${index}`, run));
  });

  /** Kills the leader as soon as `begun` says that the work is under way. The work must end well, and the cluster heal. */
  async function whileLeaderDies(begun: () => Promise<boolean>, work: () => Promise<void>): Promise<void> {
    const { pid } = await mounted.cluster.leader();
    const kill = async (): Promise<void> => {
      await until('the work is under way', async () => ((await begun()) ? true : undefined));
      process.kill(defined(pid, 'the pid of the leader'), 'SIGKILL');
    };
    await Promise.all([work(), kill()]);
    const { servers } = await mounted.cluster.healthy();
    assert.ok(servers.every((server) => server.pid !== pid));
  }

  it('O_APPEND of all mounts while the leader is killed with -9', () =>
    mounted.inDirectory('append-failover', async (dirs) => {
      const log = join(defined(dirs[0], 'a mount'), 'log');
      await whileLeaderDies(
        async () => (await sizeOf(log)) > 200_000,
        () => appendFromAll(dirs, { writers: 2, records: 300 }),
      );
    }));

  it('contests for names while the leader is killed with -9', () =>
    mounted.inDirectory('contest-failover', async (dirs) => {
      const begun = join(defined(dirs[0], 'a mount'), 'round-28'); // a file: see the order of the contests
      await whileLeaderDies(
        async () => (await sizeOf(begun)) >= 0,
        () => contend(dirs, 140),
      );
    }));

  it('statfs of every mount counts what one has written', async () => {
    const used = async (dir: string): Promise<number> => {
      const { bsize, blocks, bfree } = await statfs(dir);
      return (blocks - bfree) * bsize;
    };
    await mounted.inDirectory('statfs', async (dirs) => {
      const before = await Promise.all(dirs.map(used));
      const data = pattern(24 << 20, 77);
      await writeFile(join(defined(dirs[0], 'a mount'), 'f'), data, { flush: true });
      for (const [i, dir] of dirs.entries()) {
        // Both numbers are rounded down to whole blocks, and the servers killed before may lack copies of what was written then.
        const enough = defined(before[i], 'what was used') + data.length - (1 << 20);
        // Block nodes report what they store from time to time.
        await until(`${dir} counts ${enough} bytes`, async () =>
          (await used(dir)) >= enough ? true : undefined,
        );
      }
    });
  });

  it('umount says busy while a file is open; a lazy one lets it be written to its end', async () => {
    const [first, , third] = mounted.mounts as [string, string, string];
    const file = await open(join(third, 'kept-open'), 'w');
    await file.write('before, ');
    const refused = ringfs('umount', third);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /busy|in use/i);
    await file.write('between, ');
    const lazy = ringfs('umount', '-l', third);
    assert.equal(lazy.status, 0, lazy.stderr);
    await assert.rejects(stat(join(third, 'kept-open')), { code: 'ENOENT' });
    await file.write('after');
    await file.close();
    assert.equal(await readFile(join(first, 'kept-open'), 'utf8'), 'before, between, after');
    mounted.mountAgain(third);
    assert.equal(await readFile(join(third, 'kept-open'), 'utf8'), 'before, between, after');
  });

  it('inode numbers are those of before after mounting again and after a restart of the cluster', async () => {
    const [first, second, third] = mounted.mounts as [string, string, string];
    await shell(
      'mkdir -p ino/d/e; echo x > ino/f; ln ino/f ino/d/g; ln -s f ino/s; mkfifo ino/p; mv ino/d/e ino/moved',
      first,
    );
    const numbers = async (mount: string): Promise<string> => shell('ls -1iR', join(mount, 'ino'));
    const before = await numbers(first);
    assert.equal(await numbers(second), before);
    assert.equal(ringfs('umount', third).status, 0);
    mounted.mountAgain(third);
    assert.equal(await numbers(third), before);
    await mounted.cluster.stop();
    await mounted.cluster.up();
    assert.equal(await numbers(first), before);
    assert.equal(await numbers(second), before, 'through a mount that the cluster was restarted under');
  });
});

/** -1 if there is no such file. */
async function sizeOf(path: string): Promise<number> {
  const { size } = (await stat(path).catch(() => undefined)) ?? { size: -1 };
  return size;
}

describe('across three mounts of a cluster through fuse-native', () => {
  let mounted: MountedThrice;
  before(async () => {
    mounted = await MountedThrice.start('fuse-native');
  });
  after(() => mounted.remove());

  crossMountCases(1, { wholeReads: false }).forEach((crossCase, index) => {
    const { name, run } = crossCase;
    it(name, { skip: reasonToSkip(crossCase, FUSE_NATIVE_LACKS) ?? false }, () =>
      mounted.inDirectory(`case-${index}`, run),
    );
  });
});
