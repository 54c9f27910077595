/** The cases themselves are checked on the local disk: what fails there is wrong in the case. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type Capability, execute } from './posix-case.ts';
import { definePosixSuite, defineToolSuite } from './posix-suite.ts';

/** False only when setfacl is there and is refused; without it the cases say so themselves. */
async function takesAccessLists(parent: string): Promise<boolean> {
  const probe = await mkdtemp(join(parent, 'ringfs-acl-'));
  try {
    const { stderr } = await execute('sh', ['-c', 'command -v setfacl && setfacl -m u:1:r .'], {
      cwd: probe,
    });
    return !/not supported/i.test(stderr);
  } finally {
    await rm(probe, { recursive: true });
  }
}

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ringfs-local-'));
});
after(() => rm(directory, { recursive: true, force: true }));

/** Few disks keep attributes of 64 KiB: ext4 has one block of 4 KiB for all of an inode. */
const lacks = new Set<Capability>(['large-xattrs']);
if (!(await takesAccessLists(tmpdir()))) {
  // Loud, because the cases are then checked against nothing.
  process.emitWarning(
    `${tmpdir()} has no access lists: the cases about them are not checked on the local disk`,
  );
  lacks.add('access-lists');
}
definePosixSuite({ label: 'local disk', directory: () => directory, lacks });
defineToolSuite({ label: 'local disk', directory: () => directory });
