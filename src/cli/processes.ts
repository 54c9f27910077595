import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** True while a process with this id exists and is a ringfs process (ids are reused). */
export function isRingfsProcess(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  try {
    if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    return command.includes('cli/main') || command.includes('ringfs');
  } catch {
    return process.platform !== 'linux';
  }
}

/** Waits until none of the processes is left. Returns those that are still there after `timeoutMs`. */
export async function waitForExit(pids: readonly number[], timeoutMs: number): Promise<readonly number[]> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const left = pids.filter(isRingfsProcess);
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
