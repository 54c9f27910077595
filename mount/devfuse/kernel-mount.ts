import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import type { MountFlags } from '../front-end.ts';
import { findMount, MountError } from '../mount-point.ts';

export interface KernelMountOptions extends MountFlags {
  /** Shown as the device by mount(8) and df(1). */
  readonly fsName: string;
  readonly allowOther: boolean;
  readonly maxReadBytes: number;
}

/** What mount(8) is told with -o. */
export function kernelMountOptions(options: KernelMountOptions): string {
  const list = [
    'fd=3', // the descriptor as mount(8) inherits it
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    'default_permissions',
    `max_read=${options.maxReadBytes}`,
    'subtype=ringfs',
  ];
  if (options.allowOther) list.push('allow_other');
  if (options.readOnly === true) list.push('ro');
  if (options.noSuid === true) list.push('nosuid');
  if (options.noDev === true) list.push('nodev');
  if (options.noExec === true) list.push('noexec');
  return list.join(',');
}

/** Attaches an open FUSE device to a directory by mount(8). Throws MountError. */
export function mountKernel(fd: number, directory: string, options: KernelMountOptions): Promise<void> {
  const args = ['-i', '-t', 'fuse', '-o', kernelMountOptions(options), options.fsName, directory];
  return new Promise((resolve, reject) => {
    const child = spawn('mount', args, {
      stdio: ['ignore', 'ignore', 'pipe', fd],
      env: { ...process.env, LC_ALL: 'C' },
    });
    let output = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', (error) =>
      reject(new MountError('failed', `mount(8) cannot be run: ${error.message}`, { cause: error })),
    );
    child.on('close', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new MountError('failed', `mount(8) refused ${directory}: ${output.trim() || `exit code ${code}`}`),
        );
    });
  });
}

/**
 * Lets the kernel read ahead as much as was negotiated: it starts every FUSE mount at 128 KiB and INIT can only lower that.
 * Best effort: sysfs may be read-only in a container. Touches sysfs only, never the mount.
 */
export async function raiseReadahead(directory: string, bytes: number): Promise<boolean> {
  const mount = await findMount(directory);
  if (mount === undefined) return false;
  try {
    await writeFile(`/sys/class/bdi/${mount.device}/read_ahead_kb`, String(Math.floor(bytes / 1024)));
    return true;
  } catch {
    return false;
  }
}
