/** The cases themselves are checked on the local disk: what fails there is wrong in the case. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { definePosixSuite, defineToolSuite } from './posix-suite.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ringfs-local-'));
});
after(() => rm(directory, { recursive: true, force: true }));

definePosixSuite({ label: 'local disk', directory: () => directory });
defineToolSuite({ label: 'local disk', directory: () => directory });
