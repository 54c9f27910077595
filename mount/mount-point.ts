import { execFile } from 'node:child_process';
import { access, constants, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isServerStuck } from './serving-process.ts';

export type MountErrorCode =
  | 'missing'
  | 'not-directory'
  | 'not-empty'
  | 'mounted'
  | 'dead-mount'
  | 'not-mounted'
  | 'no-device'
  | 'not-root'
  | 'busy'
  | 'failed';

/** Mounting or unmounting is not possible; the message tells the user what to do. */
export class MountError extends Error {
  override readonly name = 'MountError';
  readonly code: MountErrorCode;
  constructor(code: MountErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface MountEntry {
  /** `major:minor` of the device. */
  readonly device: string;
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
}

function unescapeOctal(field: string): string {
  if (!field.includes('\\')) return field;
  const bytes = Buffer.from(field, 'utf8').toString('latin1');
  const unescaped = bytes.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
  return Buffer.from(unescaped, 'latin1').toString('utf8');
}

/** The lines of /proc/self/mountinfo (proc_pid_mountinfo(5)), in mount order. Lines in another form are skipped. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ');
    const fields = left?.split(' ') ?? [];
    const [fsType, source] = right?.split(' ') ?? [];
    const [device, mountPoint] = [fields[2], fields[4]];
    if (device === undefined || mountPoint === undefined || fsType === undefined) continue;
    entries.push({
      device,
      mountPoint: unescapeOctal(mountPoint),
      fsType,
      source: unescapeOctal(source ?? ''),
    });
  }
  return entries;
}

async function readMounts(): Promise<MountEntry[]> {
  try {
    return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
  } catch {
    return []; // not Linux
  }
}

/** The mount on top at this absolute path, without touching the path itself. */
export async function findMount(path: string): Promise<MountEntry | undefined> {
  return (await readMounts()).findLast((entry) => entry.mountPoint === path);
}

/** Whether a RingFS is mounted there, by either front end. */
export function isRingfs({ fsType, source }: MountEntry): boolean {
  return fsType === 'fuse.ringfs' || (fsType.startsWith('fuse') && source === 'ringfs');
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/**
 * The absolute path with symbolic links resolved in everything but its last component, which may be a mount whose process
 * is dead or does not answer.
 */
async function resolveMountPath(path: string): Promise<string> {
  const absolute = resolve(path);
  if (absolute === '/') return absolute;
  try {
    return join(await realpath(dirname(absolute)), basename(absolute));
  } catch {
    return absolute;
  }
}

/** Whether nobody serves the mount at `path` any more. A mount that does not answer for other reasons is waited for. */
async function isDead(path: string, { device }: MountEntry): Promise<boolean> {
  if (await isServerStuck(device)) return true;
  try {
    await stat(path);
    return false;
  } catch (error) {
    return codeOf(error) === 'ENOTCONN';
  }
}

/** The absolute path of `path`, which can be mounted on. Throws MountError with advice when it cannot. */
export async function checkMountPoint(path: string): Promise<string> {
  const unresolved = await resolveMountPath(path);
  const mounted = await findMount(unresolved);
  if (mounted !== undefined) await refuseMounted(unresolved, mounted);
  let resolved: string;
  try {
    resolved = await realpath(unresolved);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      throw new MountError('missing', `${path} does not exist; create it first: mkdir -p ${path}`);
    }
    if (codeOf(error) === 'ENOTDIR') throw new MountError('not-directory', `${path} is not a directory`);
    throw new MountError('failed', `${path} cannot be used: ${(error as Error).message}`, { cause: error });
  }
  const mountedThere = resolved === unresolved ? undefined : await findMount(resolved);
  if (mountedThere !== undefined) await refuseMounted(resolved, mountedThere);
  if (!(await stat(resolved)).isDirectory()) {
    throw new MountError('not-directory', `${path} is not a directory`);
  }
  if ((await readdir(resolved)).length > 0) {
    throw new MountError('not-empty', `${path} is not empty; what is in it would be hidden by the mount`);
  }
  return resolved;
}

async function refuseMounted(path: string, mounted: MountEntry): Promise<never> {
  const { fsType } = mounted;
  if (fsType.startsWith('fuse') && (await isDead(path, mounted))) {
    throw new MountError(
      'dead-mount',
      `${path} is a mount whose process is gone (transport endpoint is not connected); run: ringfs umount ${path}`,
    );
  }
  throw new MountError('mounted', `${path} is already a mount point (${fsType})`);
}

/** Throws MountError unless this process can mount over /dev/fuse itself. */
export async function checkDevfuse(): Promise<void> {
  try {
    await access('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      throw new MountError(
        'no-device',
        '/dev/fuse is missing; load the module (modprobe fuse), or in a container pass --device /dev/fuse --cap-add SYS_ADMIN',
      );
    }
    throw new MountError(
      'not-root',
      '/dev/fuse cannot be opened; mount as root, or use the fuse-native front end',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new MountError(
      'not-root',
      'the devfuse front end mounts as root; run as root, or use the fuse-native front end',
    );
  }
}

interface CommandResult {
  readonly failed: boolean;
  readonly output: string;
}

function runCommand(file: string, args: readonly string[]): Promise<CommandResult> {
  return new Promise((done) => {
    execFile(file, args, { env: { ...process.env, LC_ALL: 'C' } }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim();
      done({ failed: error !== null, output: output === '' && error !== null ? error.message : output });
    });
  });
}

export interface UmountOptions {
  /** Detach now; files that are open keep working until they are closed. */
  readonly lazy?: boolean;
  /** Detach now and fail everything that is under way. */
  readonly force?: boolean;
}

function umountCommand(path: string, { lazy, force }: UmountOptions): [string, string[]] {
  if (process.platform !== 'linux') return ['umount', [...(lazy || force ? ['-f'] : []), path]];
  if (process.getuid?.() !== 0) return ['fusermount', ['-u', ...(lazy || force ? ['-z'] : []), path]];
  // -i: there is no umount.fuse helper to be run; -c: do not touch the path, whose process may not answer.
  return ['umount', ['-i', '-c', ...(force ? ['-f'] : []), ...(lazy || force ? ['-l'] : []), path]];
}

/**
 * Unmounts a directory, whether its process is alive or not; by force when that was killed and cannot end (serving-process.ts).
 * Throws MountError `busy`, `not-mounted` or `failed`.
 */
export async function umountPath(path: string, options: UmountOptions = {}): Promise<void> {
  let target = await resolveMountPath(path);
  let mounted = await findMount(target);
  if (process.platform === 'linux' && mounted === undefined) {
    const followed = await realpath(target).catch(() => target);
    mounted = await findMount(followed);
    if (mounted === undefined) throw new MountError('not-mounted', `${path} is not mounted`);
    target = followed;
  }
  const isStuck = mounted !== undefined && isRingfs(mounted) && (await isServerStuck(mounted.device));
  const { failed, output } = await runCommand(...umountCommand(target, isStuck ? { force: true } : options));
  if (!failed) return;
  if (/busy/i.test(output)) {
    throw new MountError(
      'busy',
      `${path} is in use; close what is open in it (fuser -vm ${path} lists it), or unmount lazily`,
    );
  }
  if (/not mounted|not found in/i.test(output)) throw new MountError('not-mounted', `${path} is not mounted`);
  throw new MountError('failed', `unmounting ${path} failed: ${output}`);
}

/**
 * Takes away what a RingFS mount whose process is gone has left at `path`, so that it can be mounted on again. Processes that
 * still have files open there keep getting ENOTCONN. True if there was one. Throws MountError `failed`.
 */
export async function unmountDead(path: string): Promise<boolean> {
  const unresolved = await resolveMountPath(path);
  // The path may lead to the mount through a link; asking for the real path of a dead mount itself would fail.
  // It is asked for last: a mount whose process is dead or hangs does not answer.
  const candidates = [() => unresolved, async () => await realpath(unresolved).catch(() => unresolved)];
  for (const candidateOf of candidates) {
    const candidate = await candidateOf();
    const mounted = await findMount(candidate);
    if (mounted === undefined || !isRingfs(mounted) || !(await isDead(candidate, mounted))) continue;
    await umountPath(candidate, { lazy: true });
    return true;
  }
  return false;
}
