import type { Timers } from '../src/ports/clock.ts';
import type { Logger } from '../src/ports/logger.ts';
import type { FrontEnd } from './front-end.ts';
import { MountError } from './mount-point.ts';

/** How long programs may go on with the files that they have open in a mount that was detached. */
export const DETACHED_WAIT_MS_MAX = 30_000;

export interface StopMountComponents {
  readonly frontEnd: Pick<FrontEnd, 'stop' | 'unmounted'>;
  /** Makes what was written so far durable. */
  readonly flush: () => Promise<void>;
  /** Flushes and closes everything behind the front end. */
  readonly close: () => Promise<void>;
  readonly timers: Pick<Timers, 'after'>;
  readonly logger: Logger;
}

/**
 * A mount in use is detached: no new file can be opened in it, and what is open works until it is closed or the wait is over.
 * What was written is flushed in any case, before the wait.
 */
export async function stopMount(components: StopMountComponents): Promise<void> {
  const { frontEnd, close, logger } = components;
  try {
    await frontEnd.stop();
  } catch (error) {
    if (!(error instanceof MountError)) throw error;
    if (error.code === 'busy') {
      logger.warn({ err: error, waitMs: DETACHED_WAIT_MS_MAX }, 'programs use the mount; it is detached');
      await frontEnd.stop({ lazy: true });
      await detached(components);
    } else if (error.code !== 'not-mounted') throw error;
  }
  await close();
}

async function detached({ frontEnd, flush, timers, logger }: StopMountComponents): Promise<void> {
  // Whoever ends this process before the wait is over loses nothing that was written before it.
  flush().catch((error: unknown) => {
    logger.warn({ err: error }, 'flushing a detached mount failed; it is tried again when it is closed');
  });
  const inUse = await new Promise<boolean>((resolve) => {
    const timer = timers.after(DETACHED_WAIT_MS_MAX, () => resolve(true));
    void frontEnd.unmounted.then(() => {
      timer.cancel();
      resolve(false);
    });
  });
  if (inUse) logger.error({}, 'programs still use the detached mount; what they have open fails from now on');
}
