/** The devfuse front end over a memory file system: POSIX cases and tools on a real mount. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type MountedProcess, mountMemoryFs, reasonNotToMount } from '../support/mounted-memory-fs.ts';
import { definePosixSuite, defineToolSuite } from './posix-suite.ts';

const reason = reasonNotToMount();
describe('devfuse over memory', { skip: reason ?? false }, () => {
  let mounted: MountedProcess;
  before(async () => {
    mounted = await mountMemoryFs('devfuse');
  });
  after(() => mounted.close());

  definePosixSuite({ label: 'devfuse', directory: () => mounted.directory });
  defineToolSuite({ label: 'devfuse', directory: () => mounted.directory });

  it('logged no warning', () => {
    assert.equal(mounted.errors(), '');
  });
});
