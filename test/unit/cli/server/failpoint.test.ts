import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failpointOf, parseFailpoint } from '../../../../src/cli/server/failpoint.ts';
import { cliError } from '../../../support/cli-errors.ts';

describe('RINGFS_FAILPOINT', () => {
  it('names a moment, how often it passes, and in which role', () => {
    assert.equal(parseFailpoint(undefined), undefined);
    assert.deepEqual(parseFailpoint('compaction'), { name: 'compaction', count: 1, role: undefined });
    assert.deepEqual(parseFailpoint('before-send:20'), { name: 'before-send', count: 20, role: undefined });
    assert.deepEqual(parseFailpoint('after-apply:3:leader'), {
      name: 'after-apply',
      count: 3,
      role: 'leader',
    });
  });

  for (const text of [
    '',
    'nonsense',
    'compaction:',
    'compaction:0',
    'compaction:-1',
    'compaction:1x',
    'compaction:1:boss',
    'compaction:1:leader:',
    ' compaction',
    'COMPACTION',
  ]) {
    it(`is not '${text}'`, () => {
      assert.throws(
        () => parseFailpoint(text),
        cliError(/RINGFS_FAILPOINT: .* is not a failpoint\n.*for tests/, 2),
      );
    });
  }

  it('kills once, at the passage that it says', () => {
    let leads = false;
    let deaths = 0;
    const point = failpointOf(
      { name: 'before-send', count: 2, role: 'leader' },
      () => leads,
      () => deaths++,
    );
    for (let i = 0; i < 5; i++) point('before-send');
    leads = true;
    point('before-persist');
    point('before-send');
    assert.equal(deaths, 0);
    point('before-send');
    point('before-send');
    assert.equal(deaths, 1);
  });
});
