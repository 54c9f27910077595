import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { CliError } from './cli-error.ts';

/** Processes of the ringfs command that another one starts, and that tell it over IPC when they are ready. */

const LOG_TAIL_LINES = 8;
const LOG_TAIL_BYTES = 16 * 1024;
/** libuv reads it before any JavaScript runs; see the `ringfs` script. */
const THREADS_DEFAULT = '16';

/** Where a process serves its metrics. Of one process only: those that it starts are told their own. */
export const METRICS_VARIABLE = 'RINGFS_METRICS_LISTEN';

export interface ChildMessage {
  readonly ready?: Record<string, unknown>;
  readonly error?: string;
  readonly hint?: string;
}

/** The compiled entry point, next to this module. */
export function ringfsMain(): string {
  return path.join(import.meta.dirname, 'main.js');
}

/** In a session of its own, so that the terminal's signals do not reach it; it writes to the end of `logFile`. */
export function spawnRingfs(args: readonly string[], logFile: string, entry = ringfsMain()): ChildProcess {
  mkdirSync(path.dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a');
  try {
    return spawn(process.execPath, [...process.execArgv, entry, ...args], {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      env: { UV_THREADPOOL_SIZE: THREADS_DEFAULT, ...process.env, [METRICS_VARIABLE]: undefined },
    });
  } finally {
    closeSync(log);
  }
}

/** Resolves with what the child says of itself when it is ready. Rejects with CliError when it fails before. */
export function untilReady(
  child: ChildProcess,
  { name, logFile }: { readonly name?: string; readonly logFile: string },
): Promise<Record<string, unknown>> {
  const prefix = name === undefined ? '' : `${name}: `;
  return new Promise((resolve, reject) => {
    let settled = false;
    const fail = (message: string, hint?: string): void => {
      settled = true;
      reject(new CliError(`${prefix}${message}`, hint));
    };
    child.on('message', (message: ChildMessage) => {
      if (settled) return;
      if (message.ready === undefined) fail(message.error ?? 'failed', message.hint);
      else resolve(message.ready);
      settled = true;
    });
    child.once('error', (error) => fail(`cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      const ended = (): void => {
        if (settled) return;
        const how = signal ?? `status ${code}`;
        fail(`ended with ${how} before it was ready:\n${tail(logFile)}`, `its log is ${logFile}`);
      };
      // Its last message may still be on the way.
      if (child.connected) child.once('disconnect', ended);
      else ended();
    });
  });
}

/** The last lines of a log, however long it is. */
export function tail(file: string): string {
  try {
    const fd = openSync(file, 'r');
    try {
      const { size } = fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      const length = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8', 0, length).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}

/** In the child: tells the parent, if there is one. */
export function reportToParent(message: ChildMessage): void {
  if (process.send === undefined || !process.connected) return;
  process.send(message, undefined, undefined, () => {
    // The parent may be gone by now; this process does not depend on it.
  });
}
