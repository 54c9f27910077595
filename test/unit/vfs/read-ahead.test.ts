import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReadAhead } from '../../../src/vfs/read-ahead.ts';

const BLOCK = 100;

describe('ReadAhead', () => {
  it('leaves a single read of the header alone', () => {
    assert.equal(new ReadAhead(BLOCK, 8).observe(0, 10), undefined);
  });

  it('fetches every block ahead of a sequential reader once, in a growing window', () => {
    const readAhead = new ReadAhead(BLOCK, 8);
    let fetchedTo = 0;
    let widest = 0;
    for (let at = 0; at < 5000; at += 20) {
      const range = readAhead.observe(at, 20);
      if (!range) continue;
      assert.ok(range.from >= fetchedTo, 'nothing is fetched twice');
      if (fetchedTo > 0) assert.equal(range.from, Math.max(fetchedTo, at + 20), 'nothing is left out');
      fetchedTo = range.to;
      widest = Math.max(widest, range.to - at - 20);
    }
    assert.equal(widest, 8 * BLOCK);
    assert.ok(fetchedTo >= 5000);
  });

  it('stops at a random access and starts small again', () => {
    const readAhead = new ReadAhead(BLOCK, 8);
    for (let at = 0; at < 1000; at += 20) readAhead.observe(at, 20);
    assert.equal(readAhead.observe(100_000, 20), undefined);
    assert.deepEqual(readAhead.observe(100_020, 20), { from: 100_040, to: 100_040 + 2 * BLOCK });
  });

  it('takes requests that overtake each other as sequential', () => {
    const readAhead = new ReadAhead(BLOCK, 8);
    readAhead.observe(20, 20);
    assert.ok(readAhead.observe(0, 20));
  });

  it('does nothing with a window of no blocks', () => {
    const readAhead = new ReadAhead(BLOCK, 0);
    for (let at = 0; at < 1000; at += 20) assert.equal(readAhead.observe(at, 20), undefined);
  });
});
