import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { checkMountPoint, MountError, parseMountInfo, umountPath } from '../../../mount/mount-point.ts';

describe('parseMountInfo', () => {
  it('reads mount points, types and sources, with escapes', () => {
    const text = [
      '22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw',
      '99 28 0:45 / /mnt/a\\040b\\134c\\303\\244 rw - fuse.ringfs ringfs rw,user_id=0',
      'broken line',
      '100 99 8:1 /sub /mnt rw master:1 propagate_from:2 - ext4 /dev/sda1 rw',
      '',
    ].join('\n');
    assert.deepEqual(parseMountInfo(text), [
      { device: '0:21', mountPoint: '/proc', fsType: 'proc', source: 'proc' },
      { device: '0:45', mountPoint: '/mnt/a b\\cä', fsType: 'fuse.ringfs', source: 'ringfs' },
      { device: '8:1', mountPoint: '/mnt', fsType: 'ext4', source: '/dev/sda1' },
    ]);
  });
});

describe('checkMountPoint', () => {
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ringfs-mount-point-'));
    await mkdir(join(dir, 'empty'));
    await mkdir(join(dir, 'full'));
    await writeFile(join(dir, 'full', 'f'), '');
    await symlink('empty', join(dir, 'link'));
  });
  after(() => rm(dir, { recursive: true }));

  const refuses = (path: string, code: string): Promise<void> =>
    assert.rejects(checkMountPoint(path), (error) => {
      assert.ok(error instanceof MountError, String(error));
      assert.equal(error.code, code);
      return true;
    });

  it('takes an empty directory, also through a link', async () => {
    assert.equal(await checkMountPoint(join(dir, 'empty')), join(dir, 'empty'));
    assert.equal(await checkMountPoint(join(dir, 'link')), join(dir, 'empty'));
    assert.equal(await checkMountPoint(`${dir}/empty/../empty/`), join(dir, 'empty'));
  });

  it('refuses what cannot be mounted on, and says why', async () => {
    await refuses(join(dir, 'missing'), 'missing');
    await refuses(join(dir, 'missing', 'below'), 'missing');
    await refuses(join(dir, 'full', 'f'), 'not-directory');
    await refuses(join(dir, 'full', 'f', 'below'), 'not-directory');
    await refuses(join(dir, 'full'), 'not-empty');
    await refuses('/proc', 'mounted');
  });

  it('umountPath refuses what is not mounted', async () => {
    await assert.rejects(umountPath(join(dir, 'empty')), { code: 'not-mounted' });
  });
});
