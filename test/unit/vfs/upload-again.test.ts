import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SharedMemoryMeta } from '../../support/memory-meta-service.ts';
import { blockId } from '../../support/namespace-ops.ts';
import {
  bytes,
  Cluster,
  createFile,
  O_APPEND,
  O_RDWR,
  readPath,
  SMALL,
  text,
} from '../../support/vfs-fixture.ts';

/** Garbage collection of another block: uploads from before count no more. */
function collectSomething(meta: SharedMemoryMeta): void {
  const id = blockId(`garbage ${meta.machine.index}`);
  const copies = [{ blockId: id, length: 1, uploadedAt: 0 }];
  meta.machine.apply({ body: { $case: 'condemnBlocks', value: { copies } } });
  const blocks = [{ blockId: id, condemnedAt: meta.machine.index }];
  meta.machine.apply({ body: { $case: 'markBlocks', value: { blocks } } });
  const marked = [{ blockId: id, markedAt: meta.machine.index }];
  assert.equal(meta.machine.apply({ body: { $case: 'dropBlocks', value: { blocks: marked } } }).value, 1);
}

const CONTENT = 'x'.repeat(100) + 'y'.repeat(100);

describe('blocks whose upload may have been deleted', () => {
  for (const flags of [O_RDWR, O_RDWR | O_APPEND]) {
    it(`are put again before the commit is repeated, with flags ${flags}`, async () => {
      const cluster = new Cluster();
      const { vfs, meta, blocks } = cluster.mount(SMALL);
      const { ino, handle } = await createFile(vfs, 'f', flags);
      let late = 2;
      cluster.meta.hooks.beforeCommit = () => {
        if (late-- > 0) collectSomething(cluster.meta);
      };
      await vfs.write(ino, handle, 0, bytes(CONTENT));
      await vfs.fsync(ino, handle, false);
      assert.ok(meta.commits.length >= 4, `${meta.commits.length} commits`);
      assert.ok(blocks.puts.length >= 3 * 4, `${blocks.puts.length} puts`);
      assert.equal(text(await readPath(cluster.mount().vfs, 'f')), CONTENT);
    });
  }

  it('are given up as any other failure after some attempts, and kept', async () => {
    const cluster = new Cluster();
    const { vfs } = cluster.mount(SMALL);
    const { ino, handle } = await createFile(vfs, 'f');
    cluster.meta.hooks.beforeCommit = () => collectSomething(cluster.meta);
    await vfs.write(ino, handle, 0, bytes(CONTENT));
    await assert.rejects(vfs.fsync(ino, handle, false), { code: 'EAGAIN' });
    delete cluster.meta.hooks.beforeCommit;
    await vfs.fsync(ino, handle, false);
    assert.equal(text(await readPath(cluster.mount().vfs, 'f')), CONTENT);
  });
});
