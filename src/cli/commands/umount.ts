import { findMount, unmount, unmountLazily } from '../../../mount/mount-point.ts';
import { CliError } from '../cli-error.ts';

/** After a crash: takes away a RingFS mount whose process is gone, so that the directory can be used again. */
export function unmountStale(dir: string): void {
  const mounted = findMount(dir);
  if (mounted?.isRingfs !== true) return;
  unmountLazily(mounted.dir);
}

/** Unmounts a RingFS. The mount process flushes and ends by itself when the kernel lets go. Throws CliError. */
export async function runUmount(dir: string, flags: { lazy?: boolean; json?: boolean }): Promise<void> {
  const mounted = findMount(dir);
  if (mounted === undefined) throw new CliError(`${dir} is not mounted`, 'ringfs status shows what is');
  if (!mounted.isRingfs)
    throw new CliError(`${dir} is a ${mounted.type} mount, not a RingFS`, `use: umount ${dir}`);
  try {
    await unmount(mounted.dir, { lazy: flags.lazy === true });
  } catch (error) {
    throw new CliError(
      `cannot unmount ${dir}: ${(error as Error).message}`,
      `a program still uses it (see: fuser -vm ${dir}); end it, or detach at once with: ringfs umount --lazy ${dir}`,
    );
  }
  process.stdout.write(
    flags.json === true ? `${JSON.stringify({ unmounted: mounted.dir })}\n` : `unmounted ${mounted.dir}\n`,
  );
}
