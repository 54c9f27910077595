import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawTimeline } from '../../../docker/rig/picture.ts';
import type { Report } from '../../../docker/rig/run-scenario.ts';

function report(seconds: number): Report {
  return {
    scenario: 'chaos',
    form: 'netns',
    undone: null,
    timeline: [],
    spans: [
      { what: 'kill-leader <&>', fromMs: 2_000, mendedMs: 4_000, wholeMs: 6_000 },
      { what: 'all-off', fromMs: 8_000, mendedMs: 9_000, wholeMs: 9_500 },
    ],
    verdict: {
      operations: 10,
      failed: 1,
      longestStallMs: 3_000,
      acknowledged: 5,
      wrong: [],
      errors: [],
      work: {},
      linearizability: { operations: 0, unknown: 0, violations: [], evidence: [] },
    },
    wholeAfterMs: 2_000,
    seconds: Array.from({ length: seconds }, (_, i) => ({
      done: i % 7,
      failed: i === 3 ? 1 : 0,
      longestMs: 100 * i,
    })),
  };
}

describe('the picture of a run', () => {
  it('has a bar for what was done in each second, and a line for each thing that was broken', () => {
    const svg = drawTimeline(report(10));
    // 0 and 7 are seconds in which nothing was done, second 0 one without a wait.
    assert.equal(svg.match(/fill="#1b6ca8"/g)?.length, 8);
    assert.equal(svg.match(/fill="#c8553d"/g)?.length, 1);
    assert.equal(svg.match(/fill="#6b4c9a"/g)?.length, 9);
    assert.match(svg, />1\. 2 s kill-leader &lt;&amp;&gt;, whole after 2\.0 s</);
    assert.match(svg, />2\. 8 s all-off, whole after 0\.5 s</);
    assert.ok(!/NaN|Infinity|undefined/.test(svg));
  });

  it('stays readable for an hour, and can be drawn of nothing', () => {
    const svg = drawTimeline(report(3_600));
    assert.ok((svg.match(/fill="#1b6ca8"/g)?.length ?? 0) <= 360);
    assert.match(svg, />60 min</);
    for (const empty of [0, 1]) assert.ok(!/NaN|Infinity|undefined/.test(drawTimeline(report(empty))));
  });
});
