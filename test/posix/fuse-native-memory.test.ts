/** The fuse-native front end over a memory file system: POSIX cases and tools on a real mount. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type MountedProcess, mountMemoryFs, reasonNotToMount } from '../support/mounted-memory-fs.ts';
import { FUSE_NATIVE_LACKS } from './posix-case.ts';
import { definePosixSuite, defineToolSuite } from './posix-suite.ts';

const reason = reasonNotToMount();
describe('fuse-native over memory', { skip: reason ?? false }, () => {
  let mounted: MountedProcess;
  before(async () => {
    mounted = await mountMemoryFs('fuse-native');
  });
  after(() => mounted.close());

  definePosixSuite({ label: 'fuse-native', directory: () => mounted.directory, lacks: FUSE_NATIVE_LACKS });
  defineToolSuite({ label: 'fuse-native', directory: () => mounted.directory, lacks: FUSE_NATIVE_LACKS });

  it('logged no warning', () => {
    assert.equal(mounted.errors(), '');
  });
});
