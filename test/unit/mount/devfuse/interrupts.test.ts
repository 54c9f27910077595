import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { GracefulInterrupts, hasFatalSignal } from '../../../../mount/devfuse/interrupts.ts';
import { defined } from '../../../../src/base/assert.ts';
import { VirtualTimers } from '../../../support/virtual-timers.ts';

describe('interrupts', () => {
  const interrupted = (timers: VirtualTimers, isBeingKilled: () => boolean, untilSignal = false) => {
    const controller = new AbortController();
    let pending = true;
    const policy = new GracefulInterrupts({ timers, isBeingKilled });
    policy.interrupt({ pid: 1, controller, untilSignal }, () => pending);
    return { controller, answer: () => (pending = false) };
  };

  it('end a request at once when its caller is being killed', () => {
    assert.ok(interrupted(new VirtualTimers(), () => true).controller.signal.aborted);
  });

  it('end a request whose caller is killed later', async () => {
    const timers = new VirtualTimers();
    let killed = false;
    const { controller } = interrupted(timers, () => killed);
    await timers.advance(1000);
    assert.ok(!controller.signal.aborted);
    killed = true;
    await timers.advance(100);
    assert.ok(controller.signal.aborted);
  });

  it('leave a request alone when the caller handles the signal, until the grace is over', async () => {
    const timers = new VirtualTimers();
    const { controller } = interrupted(timers, () => false);
    await timers.advance(4_900);
    assert.ok(!controller.signal.aborted);
    await timers.advance(200);
    assert.ok(controller.signal.aborted);
  });

  it('end the wait for a lock at once, whatever the signal', () => {
    assert.ok(interrupted(new VirtualTimers(), () => false, true).controller.signal.aborted);
  });

  it('forget a request that was answered', async () => {
    const timers = new VirtualTimers();
    const { controller, answer } = interrupted(timers, () => false);
    answer();
    await timers.advance(10_000);
    assert.ok(!controller.signal.aborted);
  });

  it('see no fatal signal on a living process, and one on a dead one', async () => {
    const child = spawn('sleep', ['60']);
    const pid = defined(child.pid, 'pid');
    assert.ok(!hasFatalSignal(pid));
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    assert.ok(hasFatalSignal(pid));
  });
});
