import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processState } from '../../mount/serving-process.ts';

/** True for the command line of a ringfs process, arguments ended by zeros as in /proc/PID/cmdline: node, running our entry point. */
export function isRingfsCommand(commandLine: string): boolean {
  const [program = '', ...args] = commandLine.split('\0');
  const isNode = /^node(js)?$/.test(path.basename(program)) || program === process.execPath;
  const script = args.find((arg) => !arg.startsWith('-')) ?? '';
  return isNode && /(^|\/)dist\/src\/cli\/main\.js$/.test(script);
}

/**
 * True while a process with this id exists and is a ringfs process. Ids are used again, in a container even after every start
 * for the same role; so the process is also compared by its start, when that is known.
 */
export function isRingfsProcess(pid: number, startTicks?: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  if (process.platform !== 'linux') return true;
  if (startTicks !== undefined && processState(pid)?.startTicks !== startTicks) return false;
  try {
    if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
    return isRingfsCommand(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
  } catch {
    return false; // it has just ended
  }
}

/** Waits until none of the processes is left. Returns those that are still there after `timeoutMs`. */
export async function waitForExit(pids: readonly number[], timeoutMs: number): Promise<readonly number[]> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const left = pids.filter((pid) => isRingfsProcess(pid));
    if (left.length === 0 || performance.now() >= end) return left;
    await sleep(50);
  }
}

export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended by itself.
    }
  }
}

/** True when nothing listens on the address. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
