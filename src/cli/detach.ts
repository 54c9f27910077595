import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { CliError } from './cli-error.ts';
import { ringfsMain, tail } from './supervisor.ts';

interface Answer {
  readonly ready?: Record<string, unknown>;
  readonly error?: string;
  readonly hint?: string;
}

/** Runs a ringfs command in the background and resolves with what it says of itself when it is ready. Throws CliError. */
export async function detach(args: readonly string[], logFile: string): Promise<Record<string, unknown>> {
  mkdirSync(path.dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [...process.execArgv, ringfsMain(), ...args], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  try {
    return await new Promise((resolve, reject) => {
      child.once('message', (message: Answer) => {
        if (message.ready !== undefined) resolve(message.ready);
        else reject(new CliError(message.error ?? 'failed', message.hint));
      });
      child.once('exit', (code, signal) => {
        const why = `ended with ${signal ?? `status ${code}`} before it was ready:\n${tail(logFile)}`;
        reject(new CliError(why, `its log is ${logFile}`));
      });
    });
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}
