import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blockKey, RECLAIM_KEY, TABLE, tableRange } from '../../../../src/core/namespace/keys.ts';
import { BLOCK, RECLAIM } from '../../../../src/core/namespace/rows.ts';
import type { Command } from '../../../../src/gen/ringfs/v1/namespace.ts';
import type { BlockRow } from '../../../../src/gen/ringfs/v1/rows.ts';
import { NamespaceFixture } from '../../../support/namespace-fixture.ts';
import { block, blockId, mkfile, truncate, write } from '../../../support/namespace-ops.ts';

const A = blockId('a');

/** A file, and garbage collection by hand. */
class Fixture {
  readonly fs = new NamespaceFixture();
  readonly ino = this.fs.ino(mkfile(1, 'f'));

  get index(): number {
    return this.fs.machine.index;
  }

  /** How a commit that names the block is answered. */
  refer(uploadedAt?: number, label = 'a'): string | undefined {
    return this.fs.commit([write(this.ino, [block(0, 10, label)])], { uploadedAt }).result.body?.$case;
  }

  release(): number {
    this.fs.ok(truncate(this.ino, 0));
    return this.index;
  }

  mark(condemnedAt: number, id = A): number {
    const value = { blocks: [{ blockId: id, condemnedAt }] };
    return this.fs.machine.apply({ body: { $case: 'markBlocks', value } }).value;
  }

  drop(markedAt: number, id = A): number {
    const value = { blocks: [{ blockId: id, markedAt }] };
    return this.fs.machine.apply({ body: { $case: 'dropBlocks', value } }).value;
  }

  find(id = A): number {
    const value = { copies: [{ blockId: id, length: 10, uploadedAt: 1 }] };
    return this.fs.machine.apply({ body: { $case: 'condemnBlocks', value } }).value;
  }

  row(id = A): BlockRow | undefined {
    const value = this.fs.machine.store.getSync(blockKey(id));
    return value === undefined ? undefined : BLOCK.decode(value);
  }

  get floor(): number {
    const value = this.fs.machine.store.getSync(RECLAIM_KEY);
    return value === undefined ? 0 : RECLAIM.decode(value).floor;
  }

  get condemned(): number {
    return this.fs.machine.store.scanSync(tableRange(TABLE.condemned)).length;
  }
}

describe('reclaim', () => {
  it('lets a commit revive a condemned block until it is marked, however old the upload', () => {
    const f = new Fixture();
    assert.equal(f.refer(0), 'ok');
    const condemnedAt = f.release();
    assert.equal(f.refer(0), 'ok');
    assert.equal(f.row()?.refs, 1);
    assert.equal(f.mark(condemnedAt), 0);
    assert.equal(f.condemned, 0);
  });

  it('answers missing for uploads from before the mark, and takes later ones', () => {
    const f = new Fixture();
    f.refer();
    const before = f.index;
    assert.equal(f.mark(f.release()), 1);
    const markedAt = f.index;
    assert.equal(f.refer(before), 'missingBlocks');
    assert.equal(f.refer(markedAt - 1), 'missingBlocks');
    assert.equal(f.refer(undefined), 'missingBlocks');
    assert.equal(f.row()?.refs, 0);
    assert.equal(f.refer(markedAt), 'ok');
    assert.deepEqual([f.row()?.refs, f.row()?.condemnedAt, f.condemned], [1, 0, 0]);
    // The delete may be under way still, but what it may not touch is what counts now.
    assert.equal(f.drop(markedAt), 0);
    assert.equal(f.refer(0), 'ok');
  });

  it('drops a marked block once, counts it, and takes only uploads from after it from then on', () => {
    const f = new Fixture();
    f.refer();
    f.mark(f.release());
    const markedAt = f.index;
    assert.equal(f.drop(markedAt - 1), 0);
    assert.equal(f.drop(markedAt), 1);
    assert.equal(f.drop(markedAt), 0);
    assert.deepEqual([f.row(), f.condemned, f.floor], [undefined, 0, markedAt]);
    assert.equal(f.refer(markedAt - 1), 'missingBlocks');
    assert.equal(f.refer(markedAt - 1, 'never seen'), 'missingBlocks');
    assert.equal(f.refer(markedAt, 'never seen'), 'ok');
    assert.equal(f.refer(markedAt), 'ok');
  });

  it('does not drop what was revived and condemned again', () => {
    const f = new Fixture();
    f.refer();
    f.mark(f.release());
    const first = f.index;
    f.refer(first);
    const condemnedAt = f.release();
    assert.equal(f.drop(first), 0);
    assert.equal(f.mark(condemnedAt), 1);
    const second = f.index;
    assert.equal(f.drop(first), 0);
    assert.equal(f.mark(condemnedAt), 0);
    assert.equal(f.drop(second), 1);
  });

  it('condemns a copy without a row, and remembers what may have happened to others of it', () => {
    const f = new Fixture();
    f.refer();
    f.mark(f.release());
    const markedAt = f.index;
    f.drop(markedAt);
    assert.equal(f.find(), 1);
    assert.equal(f.find(), 0);
    const condemnedAt = f.index - 1;
    assert.equal(f.drop(markedAt), 0, 'it is not marked again yet');
    assert.equal(f.refer(markedAt - 1), 'missingBlocks');
    assert.equal(f.refer(markedAt), 'ok');
    assert.equal(f.mark(condemnedAt), 0);
    f.release();
    assert.equal(f.find(), 0);
  });

  it('does not care for the age of an upload when the block is in use', () => {
    const f = new Fixture();
    f.refer();
    f.fs.ok(mkfile(1, 'g'));
    f.mark(f.release());
    f.refer(f.index);
    const g = f.fs.entry(1, 'g')!;
    f.fs.ok(write(g, [block(0, 10, 'a')]));
    assert.equal(f.row()?.refs, 2);
  });

  it('refuses what is no block', () => {
    const f = new Fixture();
    const short = new Uint8Array(3);
    const commands: Command['body'][] = [
      { $case: 'condemnBlocks', value: { copies: [{ blockId: short, length: 1, uploadedAt: 0 }] } },
      { $case: 'markBlocks', value: { blocks: [{ blockId: short, condemnedAt: 1 }] } },
      { $case: 'dropBlocks', value: { blocks: [{ blockId: short, markedAt: 1 }] } },
    ];
    for (const body of commands) assert.equal(f.fs.machine.apply({ body }).result.body?.$case, 'rejected');
  });
});
