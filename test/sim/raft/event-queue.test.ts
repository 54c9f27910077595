import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../src/base/random.ts';
import { EventQueue } from './event-queue.ts';

describe('virtual time', () => {
  it('runs actions in order of time, then of scheduling', () => {
    const random = seededRandom(1);
    const queue = new EventQueue();
    const expected: { readonly time: number; readonly name: number }[] = [];
    const ran: number[] = [];
    for (let name = 0; name < 500; name++) {
      const time = random.below(50);
      expected.push({ time, name });
      queue.after(time, () => {
        assert.equal(queue.now, time);
        ran.push(name);
      });
    }
    expected.sort((a, b) => a.time - b.time || a.name - b.name);
    while (queue.runNext(50));
    assert.deepEqual(
      ran,
      expected.map(({ name }) => name),
    );
  });

  it('a cancelled action does not happen, takes no time, and leaves the others in order', () => {
    const random = seededRandom(2);
    const queue = new EventQueue();
    const events = Array.from({ length: 500 }, (_, name) => {
      const time = random.below(1_000);
      return { name, time, event: queue.after(time, () => ran.push(name)) };
    });
    const ran: number[] = [];
    const kept = events.filter(({ name }) => name % 5 === 0);
    for (const { name, event } of events) if (name % 5 !== 0) queue.cancel(event);
    const order = [...kept].sort((a, b) => a.time - b.time || a.name - b.name);
    for (const { time } of order) {
      assert.ok(queue.runNext(1_000));
      assert.equal(queue.now, time);
    }
    assert.equal(queue.runNext(1_000), false);
    assert.deepEqual(
      ran,
      order.map(({ name }) => name),
    );
  });

  it('an action that has run, or is cancelled twice, can be cancelled', () => {
    const queue = new EventQueue();
    const event = queue.after(1, () => {});
    assert.ok(queue.runNext(2));
    queue.cancel(event);
    queue.cancel(event);
    queue.after(1, () => {});
    assert.ok(queue.runNext(3));
  });
});
