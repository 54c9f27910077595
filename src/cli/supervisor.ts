import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { CliError } from './cli-error.ts';

/** A child that dies is started again after this long: short enough to heal, long enough to see what failed. */
const RESTART_DELAY_MS = 3_000;
const LOG_TAIL_LINES = 8;

export interface ChildSpec {
  readonly name: string;
  /** Arguments of the ringfs command. */
  readonly args: readonly string[];
  readonly logFile: string;
  /** The child says over IPC when it is ready. */
  readonly readyTimeoutMs: number;
  readonly beforeRestart?: () => Promise<void>;
}

interface ChildMessage {
  readonly ready?: Record<string, unknown>;
  readonly error?: string;
  readonly hint?: string;
}

/** Runs one ringfs process, waits until it is ready, and starts it again when it dies. */
export class SupervisedChild {
  readonly spec: ChildSpec;
  readonly #components: { logger: Logger; timers: Timers };
  readonly #onChange: () => void;
  #process: ChildProcess | undefined;
  #restart: TimerHandle | undefined;
  #stopping = false;
  #ready = false;

  constructor(components: { logger: Logger; timers: Timers }, spec: ChildSpec, onChange: () => void) {
    this.#components = components;
    this.spec = spec;
    this.#onChange = onChange;
  }

  /** 0 while it is not running. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Resolves with what the child says of itself when it is ready. Rejects with CliError when it ends before. */
  start(): Promise<Record<string, unknown>> {
    mkdirSync(path.dirname(this.spec.logFile), { recursive: true });
    const log = openSync(this.spec.logFile, 'a');
    const child = spawn(process.execPath, [...process.execArgv, ringfsMain(), ...this.spec.args], {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    });
    closeSync(log);
    this.#process = child;
    this.#ready = false;
    return new Promise((resolve, reject) => {
      const timer = this.#components.timers.after(this.spec.readyTimeoutMs, () => {
        reject(
          new CliError(
            `${this.spec.name} was not ready within ${this.spec.readyTimeoutMs / 1000} s`,
            `its log is ${this.spec.logFile}`,
          ),
        );
      });
      child.on('message', (message: ChildMessage) => {
        timer.cancel();
        if (message.error !== undefined)
          reject(new CliError(`${this.spec.name}: ${message.error}`, message.hint));
        if (message.ready === undefined) return;
        this.#ready = true;
        resolve(message.ready);
      });
      child.once('exit', (code, signal) => {
        timer.cancel();
        reject(
          new CliError(
            `${this.spec.name} ended with ${signal ?? `status ${code}`}:\n${tail(this.spec.logFile)}`,
            `its log is ${this.spec.logFile}`,
          ),
        );
        this.#onExit(code, signal);
      });
    });
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

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    this.#process = undefined;
    if (this.#stopping || !this.#ready) return;
    const { logger, timers } = this.#components;
    logger.warn(
      { child: this.spec.name, code, signal, restartInMs: RESTART_DELAY_MS },
      'a process ended and will be started again',
    );
    this.#onChange();
    this.#scheduleRestart(timers);
  }

  #scheduleRestart(timers: Timers): void {
    this.#restart = timers.after(RESTART_DELAY_MS, () => {
      this.#startAgain().then(
        () => this.#onChange(),
        (error: unknown) => {
          this.#components.logger.error(
            { child: this.spec.name, err: error },
            'could not be started again; trying later',
          );
          this.#process?.kill('SIGKILL');
          if (!this.#stopping) this.#scheduleRestart(timers);
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

/** The compiled entry point, next to this module. */
export function ringfsMain(): string {
  return path.join(import.meta.dirname, 'main.js');
}

export function tail(file: string): string {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    return lines.slice(-LOG_TAIL_LINES).join('\n');
  } catch {
    return '';
  }
}

/** For a child of a supervisor (or of --detach): tell the parent, if there is one. */
export function reportToParent(message: ChildMessage): void {
  if (process.send === undefined || !process.connected) return;
  process.send(message, undefined, undefined, () => {
    // The parent may be gone by now; this process does not depend on it.
  });
}
