import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../../src/base/random.ts';
import { SystemTimers } from '../../../../src/io/os/system-timers.ts';
import type { Instant } from '../../../../src/ports/clock.ts';

const compare = (a: Instant, b: Instant): number => a.sec - b.sec || a.nsec - b.nsec;

/** A true time, and what the two clocks say of it: whole milliseconds, and another origin and speed. */
function clocks(speed = 1) {
  const state = { trueMs: 1_700_000_000_123.4, setBackMs: 0 };
  return {
    state,
    timers: new SystemTimers({
      wallMs: () => Math.floor(state.trueMs - state.setBackMs),
      monotonicMs: () => (state.trueMs - 1_699_999_999_000) * speed,
    }),
  };
}

describe('wall time', () => {
  it('is the real time, with nanoseconds below a second', () => {
    const timers = new SystemTimers();
    for (let i = 0; i < 1000; i++) {
      const before = Date.now();
      const { sec, nsec } = timers.wallTime();
      const after = Date.now();
      assert.ok(Number.isInteger(sec) && Number.isInteger(nsec) && nsec >= 0 && nsec < 1e9);
      const ms = sec * 1000 + Math.floor(nsec / 1e6);
      assert.ok(ms >= before && ms <= after, `${before} <= ${ms} <= ${after}`);
    }
  });

  it('does not go back, and tells moments of one millisecond apart', () => {
    const timers = new SystemTimers();
    const times = Array.from({ length: 20_000 }, () => timers.wallTime());
    for (let i = 1; i < times.length; i++)
      assert.ok(compare(times[i - 1] as Instant, times[i] as Instant) <= 0);
    const distinct = new Set(times.map(({ sec, nsec }) => sec * 1e9 + nsec));
    const milliseconds = new Set(times.map(({ sec, nsec }) => `${sec} ${Math.floor(nsec / 1e6)}`));
    assert.ok(distinct.size > milliseconds.size);
  });

  for (const speed of [1, 0.999, 1.001]) {
    it(`follows the wall clock when the monotonic clock runs at ${speed} of its speed`, () => {
      const { state, timers } = clocks(speed);
      const random = seededRandom(7);
      let last: Instant = { sec: 0, nsec: 0 };
      for (let i = 0; i < 20_000; i++) {
        state.trueMs += random.next() * (random.below(10) === 0 ? 50 : 0.2);
        const time = timers.wallTime();
        assert.ok(compare(last, time) <= 0, `${JSON.stringify(last)} was before ${JSON.stringify(time)}`);
        assert.ok(time.nsec >= 0 && time.nsec < 1e9);
        assert.equal(time.sec * 1000 + Math.floor(time.nsec / 1e6), Math.floor(state.trueMs));
        last = time;
      }
    });
  }

  it('jumps with the wall clock', () => {
    const { state, timers } = clocks();
    timers.wallTime();
    state.setBackMs = 3_600_000;
    assert.equal(timers.wallTime().sec, Math.floor((state.trueMs - 3_600_000) / 1000));
    state.setBackMs = 0;
    assert.equal(timers.wallTime().sec, Math.floor(state.trueMs / 1000));
  });
});

describe('timers', () => {
  const timers = new SystemTimers();

  it('have a monotonic clock with a fraction', () => {
    const times = Array.from({ length: 1000 }, () => timers.nowMs());
    assert.ok(times.every((time, i) => i === 0 || time >= (times[i - 1] ?? 0)));
    assert.ok(times.some((time) => !Number.isInteger(time)));
  });

  it('call back once, and not when cancelled', async () => {
    let cancelled = false;
    const handle = timers.after(1, () => {
      cancelled = true;
    });
    handle.cancel();
    await new Promise<void>((resolve) => {
      const keep = setInterval(() => {}, 1000); // the timer alone keeps nothing alive
      timers.after(5, () => {
        clearInterval(keep);
        resolve();
      });
    });
    handle.cancel();
    assert.equal(cancelled, false);
  });

  it('sleep until the time, and leave nothing on the signal', async () => {
    const { signal } = new AbortController();
    const before = timers.nowMs();
    await timers.sleep(5, signal);
    assert.ok(timers.nowMs() - before >= 4);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('sleep until aborted, with the reason', async () => {
    const controller = new AbortController();
    const sleeping = timers.sleep(1_000_000, controller.signal);
    const rejected = assert.rejects(sleeping, /enough/);
    controller.abort(new Error('enough'));
    await rejected;
    await assert.rejects(timers.sleep(1, controller.signal), /enough/);
  });

  it('refuse a delay that Node would take for none', async () => {
    assert.throws(() => timers.after(2 ** 31, () => {}));
    assert.throws(() => timers.after(Number.POSITIVE_INFINITY, () => {}));
    await assert.rejects(timers.sleep(2 ** 31));
  });
});
