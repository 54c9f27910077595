import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Which process serves a mount. A process that is killed while one of its threads writes an invalidation does not end: that thread waits,
 * beyond the reach of signals, for a page whose reader waits for an answer of this very process. Its first thread is a zombie
 * then, whoever touches the mount waits for ever, and only an end of the connection (umount -f) lets go. Nothing that the kernel shows
 * leads from a mount to its process, so it is written down. Beneath /run, which does not outlive the machine, as the process does not.
 */
const FOLDER = '/run/ringfs/mounts';

export interface ProcessState {
  /** One letter, proc_pid_stat(5), field 3: R, S, D, Z, ... */
  readonly state: string;
  /** When it started, in clock ticks since boot, field 22: with the identifier it names a process for good. */
  readonly startTicks: number;
}

/** Undefined when there is no such process, or no /proc. */
export function processState(pid: number): ProcessState | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name, in parentheses, may contain anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

const fileOf = (device: string, folder: string): string => join(folder, device.replace(':', '-'));

/** `device` is that of the mount, as `major:minor`. Rejects when it cannot be written, as with a root file system for reading only. */
export async function recordServing(device: string, folder = FOLDER): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(fileOf(device, folder), `${process.pid} ${processState(process.pid)?.startTicks}\n`);
}

/** The number of the device may belong to another mount by now, whose record stays. Never rejects. */
export async function forgetServing(device: string, folder = FOLDER): Promise<void> {
  const file = fileOf(device, folder);
  const record = await readFile(file, 'utf8').catch(() => '');
  if (record.startsWith(`${process.pid} `)) await rm(file, { force: true }).catch(() => {});
}

/**
 * True when the process that serves this mount has been killed and has not ended. False when it lives, when nothing is known of it,
 * and when it is gone: then the kernel has closed the connection, and says so to whoever asks the mount.
 */
export async function isServerStuck(device: string, folder = FOLDER): Promise<boolean> {
  const record = await readFile(fileOf(device, folder), 'utf8').catch(() => '');
  const [, pid, startTicks] = /^(\d+) (\d+)\n$/.exec(record) ?? [];
  const now = pid === undefined ? undefined : processState(Number(pid));
  return now !== undefined && now.startTicks === Number(startTicks) && hasDied(now);
}

/** Its first thread has ended. */
export function hasDied({ state }: ProcessState): boolean {
  return state === 'Z' || state === 'X';
}
