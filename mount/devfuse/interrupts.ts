import { readFileSync } from 'node:fs';
import { FsError } from '../../src/base/errno.ts';
import type { Timers } from '../../src/ports/clock.ts';

/** A request that is being answered. */
export interface PendingRequest {
  /** Of the thread that waits; 0 when it is not of this process namespace. */
  readonly pid: number;
  readonly controller: AbortController;
  /** It may wait for ever, and whoever makes it expects EINTR: fcntl(2) F_SETLKW, flock(2). */
  readonly untilSignal: boolean;
}

/** What to do when the kernel says that the caller of a request got a signal. */
export interface InterruptPolicy {
  interrupt(request: PendingRequest, isPending: () => boolean): void;
}

/** How long a request goes on although its caller has a signal to handle. */
const GRACE_MS = 5_000;
const LOOK_INTERVAL_MS = 100;
const SIGKILL_BIT = 1n << 8n;

/** Ends the request at once. */
export const immediateInterrupts: InterruptPolicy = {
  interrupt: ({ controller }) => controller.abort(new FsError('EINTR')),
};

/**
 * The kernel reports every signal, also SIGCHLD or a timer that the program handles and goes on after. On a local disk these
 * never end a file operation, and programs do not expect EINTR from open(2) or rename(2). So a request is ended at once
 * only when its caller is being killed (a fatal signal is a pending SIGKILL, see complete_signal() in the kernel), and
 * otherwise when it still waits after a grace, so that ^C helps where the program handles it and the servers are gone.
 */
export class GracefulInterrupts implements InterruptPolicy {
  readonly #timers: Timers;
  readonly #isBeingKilled: (pid: number) => boolean;

  constructor(components: { readonly timers: Timers; readonly isBeingKilled?: (pid: number) => boolean }) {
    this.#timers = components.timers;
    this.#isBeingKilled = components.isBeingKilled ?? hasFatalSignal;
  }

  interrupt(request: PendingRequest, isPending: () => boolean): void {
    if (request.untilSignal) {
      request.controller.abort(new FsError('EINTR'));
      return;
    }
    const endMs = this.#timers.nowMs() + GRACE_MS;
    const look = (): void => {
      if (!isPending()) return;
      if (this.#isBeingKilled(request.pid) || this.#timers.nowMs() >= endMs) {
        request.controller.abort(new FsError('EINTR'));
      } else this.#timers.after(LOOK_INTERVAL_MS, look);
    };
    look();
  }
}

/** True when the thread has SIGKILL pending or is gone. See proc_pid_status(5). */
export function hasFatalSignal(pid: number): boolean {
  if (pid === 0) return false;
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)].some(
      ([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n,
    );
  } catch {
    return true;
  }
}
