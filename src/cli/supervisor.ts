import type { ChildProcess } from 'node:child_process';
import { hasDied, processState } from '../../mount/serving-process.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { CliError } from './cli-error.ts';
import { spawnRingfs, untilReady } from './ringfs-child.ts';

/** How often it is looked whether a child was killed and cannot end. */
const STUCK_CHECK_MS = 2_000;
/** A child that dies is started again after this long: short enough to heal, long enough to see what failed. */
const RESTART_DELAY_MS = 3_000;

export interface ChildSpec {
  readonly name: string;
  /** Arguments of the ringfs command. */
  readonly args: readonly string[];
  readonly logFile: string;
  /** The child says over IPC when it is ready. */
  readonly readyTimeoutMs: number;
  readonly beforeRestart?: () => Promise<void>;
  /** Lets go of a child that was killed and cannot end: see mount/serving-process.ts. */
  readonly release?: () => Promise<void>;
}

interface Components {
  readonly logger: Logger;
  readonly timers: Timers;
  /** What runs as the child; the ringfs command by default. */
  readonly entry?: string;
  /** What /proc says of a process. Replaced by tests. */
  readonly stateOf?: typeof processState;
}

/** Runs one ringfs process, waits until it is ready, and starts it again when it dies. */
export class SupervisedChild {
  readonly spec: ChildSpec;
  readonly #components: Components;
  readonly #onChange: () => void;
  #process: ChildProcess | undefined;
  #restart: TimerHandle | undefined;
  #stuckCheck: TimerHandle | undefined;
  #stopping = false;
  #ready = false;

  constructor(components: Components, spec: ChildSpec, onChange: () => void) {
    this.#components = components;
    this.spec = spec;
    this.#onChange = onChange;
  }

  /** 0 while it is not running. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Resolves with what the child says of itself when it is ready. Rejects with CliError when it ends before. */
  async start(): Promise<Record<string, unknown>> {
    const { name, args, logFile, readyTimeoutMs } = this.spec;
    if (this.#stopping) throw new CliError(`${name}: stopped before it was started`);
    const child = spawnRingfs(args, logFile, this.#components.entry);
    this.#process = child;
    this.#ready = false;
    if (this.spec.release !== undefined) this.#watch(child, this.spec.release);
    child.once('error', () => this.#onEnd(child, null, null));
    child.once('exit', (code, signal) => this.#onEnd(child, code, signal));
    let timer: TimerHandle | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#components.timers.after(readyTimeoutMs, () =>
        reject(new CliError(`${name}: not ready within ${readyTimeoutMs / 1000} s`, `its log is ${logFile}`)),
      );
    });
    try {
      const ready = await Promise.race([untilReady(child, { name, logFile }), late]);
      this.#ready = true;
      // It may have ended right after it said so.
      if (this.#process !== child) this.#scheduleRestart();
      return ready;
    } finally {
      timer?.cancel();
    }
  }

  async stop(signal: NodeJS.Signals, timeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#restart?.cancel();
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    const killer = this.#components.timers.after(timeoutMs, () => {
      this.#components.logger.warn({ child: this.spec.name, timeoutMs }, 'did not stop in time; killing it');
      child.kill('SIGKILL');
    });
    await exited;
    killer.cancel();
  }

  /** A child that has just ended is a zombie too, until this process takes note: so it is looked at twice. */
  #watch(child: ChildProcess, release: () => Promise<void>, seen = false): void {
    this.#stuckCheck?.cancel();
    this.#stuckCheck = this.#components.timers.after(STUCK_CHECK_MS, () => {
      const isOver = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
      if (isOver || this.#process !== child) return;
      const state = (this.#components.stateOf ?? processState)(child.pid);
      const died = state !== undefined && hasDied(state);
      if (died && seen) {
        this.#components.logger.warn(
          { child: this.spec.name },
          'a process was killed and cannot end; its mount is ended',
        );
        release().catch((error: unknown) => {
          this.#components.logger.error({ child: this.spec.name, err: error }, 'a mount could not be ended');
        });
      }
      this.#watch(child, release, died);
    });
  }

  #onEnd(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#process !== child) return;
    this.#process = undefined;
    if (this.#stopping || !this.#ready) return;
    this.#components.logger.warn(
      { child: this.spec.name, code, signal, restartInMs: RESTART_DELAY_MS },
      'a process ended and will be started again',
    );
    this.#onChange();
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    if (this.#stopping) return;
    this.#restart = this.#components.timers.after(RESTART_DELAY_MS, () => {
      this.#startAgain().then(
        () => this.#onChange(),
        (error: unknown) => {
          if (this.#stopping) return;
          this.#components.logger.error(
            { child: this.spec.name, err: error },
            'could not be started again; trying later',
          );
          this.#process?.kill('SIGKILL');
          this.#scheduleRestart();
        },
      );
    });
  }

  async #startAgain(): Promise<void> {
    await this.spec.beforeRestart?.();
    if (this.#stopping) return;
    const ready = this.start();
    this.#onChange();
    await ready;
    this.#components.logger.info({ child: this.spec.name, pid: this.pid }, 'started again');
  }
}
