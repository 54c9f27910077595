import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelMountOptions } from '../../../mount/devfuse/kernel-mount.ts';
import { nativeMountOptions } from '../../../mount/fuse-native/front-end.ts';

const GENERIC = ['ro', 'nosuid', 'nodev', 'noexec', 'suid', 'dev'];
const ALL = { readOnly: true, noSuid: true, noDev: true, noExec: true };

function genericOf(text: string): string[] {
  return text.split(',').filter((option) => GENERIC.includes(option));
}

describe('mount flags', () => {
  it('of devfuse are those of a local file system unless told otherwise', () => {
    const options = { fsName: 'ringfs', allowOther: true, maxReadBytes: 4096 };
    assert.deepEqual(genericOf(kernelMountOptions(options)), []);
    assert.deepEqual(genericOf(kernelMountOptions({ ...options, ...ALL })), [
      'ro',
      'nosuid',
      'nodev',
      'noexec',
    ]);
  });

  it('of fuse-native lift what libfuse forbids, for root only', () => {
    const options = { directory: '/mnt' };
    assert.deepEqual(genericOf(nativeMountOptions(options, { isRoot: true })), ['suid', 'dev']);
    assert.deepEqual(genericOf(nativeMountOptions(options, { isRoot: false })), []);
    assert.deepEqual(genericOf(nativeMountOptions({ ...options, ...ALL }, { isRoot: true })), [
      'ro',
      'noexec',
    ]);
  });
});
