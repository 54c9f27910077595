import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LATENCY_BOUNDS_MS, LatencyHistogram, RequestStats } from '../../../src/base/request-stats.ts';

describe('a latency histogram', () => {
  it('has one bucket per bound, bounds included, and one more', () => {
    const histogram = new LatencyHistogram();
    for (const bound of LATENCY_BOUNDS_MS) histogram.note(bound);
    assert.deepEqual(histogram.snapshot().counts, LATENCY_BOUNDS_MS.map(() => 1).concat(0));
    histogram.note(1e9);
    assert.equal(histogram.snapshot().counts.at(-1), 1);
  });

  it('sums up', () => {
    const histogram = new LatencyHistogram();
    for (const ms of [0, 0.5, 3]) histogram.note(ms);
    assert.equal(histogram.snapshot().sumMs, 3.5);
  });

  it('gives snapshots that stay as they are', () => {
    const histogram = new LatencyHistogram();
    const before = histogram.snapshot();
    histogram.note(0);
    assert.equal(before.counts[0], 0);
    assert.equal(histogram.snapshot().counts[0], 1);
  });
});

describe('request statistics', () => {
  it('count by kind and outcome', () => {
    const stats = new RequestStats();
    stats.note('get', 1, 'ok');
    stats.note('get', 2, 'ok');
    stats.note('get', 3, 'not_found');
    stats.note('put', 4, 'ok');
    const [get, put] = stats.snapshot();
    assert.deepEqual([get?.kind, get?.outcomes, get?.latency.sumMs], ['get', { ok: 2, not_found: 1 }, 6]);
    assert.deepEqual([put?.kind, put?.outcomes, put?.latency.sumMs], ['put', { ok: 1 }, 4]);
  });
});
