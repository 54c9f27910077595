import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StopOptions } from '../../../mount/front-end.ts';
import { MountError, type MountErrorCode } from '../../../mount/mount-point.ts';
import { DETACHED_WAIT_MS_MAX, stopMount } from '../../../mount/stop-mount.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { HandTimers, settle } from '../../support/vfs-fixture.ts';

function rig(refusal?: MountErrorCode) {
  const events: string[] = [];
  const timers = new HandTimers();
  const logger = new RecordingLogger();
  let lastFileClosed = (): void => undefined;
  const frontEnd = {
    unmounted: new Promise<void>((resolve) => {
      lastFileClosed = resolve;
    }),
    stop: async ({ lazy = false }: StopOptions = {}): Promise<void> => {
      if (!lazy && refusal !== undefined) throw new MountError(refusal, 'no');
      events.push(lazy ? 'detach' : 'unmount');
    },
  };
  const flush = async (): Promise<void> => void events.push('flush');
  const close = async (): Promise<void> => void events.push('close');
  const stopped = stopMount({ frontEnd, flush, close, timers, logger });
  return { events, timers, logger, stopped, lastFileClosed };
}

describe('stopping a mount', () => {
  it('unmounts and closes', async () => {
    const { events, stopped } = rig();
    await stopped;
    assert.deepEqual(events, ['unmount', 'close']);
  });

  it('closes when somebody else has unmounted it', async () => {
    const { events, stopped } = rig('not-mounted');
    await stopped;
    assert.deepEqual(events, ['close']);
  });

  it('detaches a mount in use, flushes, and waits until the last file is closed', async () => {
    const { events, timers, stopped, lastFileClosed, logger } = rig('busy');
    await settle();
    timers.advance(DETACHED_WAIT_MS_MAX - 1);
    await settle();
    assert.deepEqual(events, ['detach', 'flush']);
    lastFileClosed();
    await stopped;
    assert.deepEqual(events, ['detach', 'flush', 'close']);
    assert.ok(!logger.lines.some((line) => line.level === 'error'));
  });

  it('closes under programs that do not end, and says so', async () => {
    const { events, timers, stopped, logger } = rig('busy');
    await settle();
    timers.advance(DETACHED_WAIT_MS_MAX);
    await stopped;
    assert.deepEqual(events, ['detach', 'flush', 'close']);
    assert.ok(logger.lines.some((line) => line.level === 'error'));
  });

  it('fails, with everything open, when it cannot be unmounted for another reason', async () => {
    const { events, stopped } = rig('failed');
    await assert.rejects(stopped, { code: 'failed' });
    assert.deepEqual(events, []);
  });
});
