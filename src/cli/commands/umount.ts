import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { findMount, isRingfs, umountPath } from '../../../mount/mount-point.ts';
import { CliError } from '../cli-error.ts';

/** After a crash: takes away a RingFS mount whose process is gone, so that the directory can be used again. */
export async function unmountStale(dir: string): Promise<void> {
  const mounted = await findMount(dir);
  if (mounted !== undefined && isRingfs(mounted)) await umountPath(dir, { lazy: true });
}

/** Unmounts a RingFS. The mount process flushes and ends by itself when the kernel lets go. Throws CliError, MountError. */
export async function runUmount(dir: string, flags: { lazy?: boolean; json?: boolean }): Promise<void> {
  const absolute = path.resolve(dir);
  // Asking for the real path of a mount whose process is dead fails; then the path as given has to do.
  const mounted =
    (await findMount(absolute)) ?? (await findMount(await realpath(absolute).catch(() => absolute)));
  if (process.platform === 'linux') {
    if (mounted === undefined) throw new CliError(`${dir} is not mounted`, 'see: mount -t fuse.ringfs');
    if (!isRingfs(mounted))
      throw new CliError(`${dir} is a mount of type ${mounted.fsType}, not a RingFS`, `use: umount ${dir}`);
  }
  await umountPath(absolute, { lazy: flags.lazy === true });
  process.stdout.write(
    flags.json === true ? `${JSON.stringify({ unmounted: absolute })}\n` : `unmounted ${absolute}\n`,
  );
}
