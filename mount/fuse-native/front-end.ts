import { assert } from '../../src/base/assert.ts';
import { asFsError } from '../../src/base/errno.ts';
import type { Timers } from '../../src/ports/clock.ts';
import type { FileSystem } from '../../src/ports/file-system.ts';
import type { Logger } from '../../src/ports/logger.ts';
import type { FrontEnd, MountFlags, StopOptions } from '../front-end.ts';
import { checkMountPoint, findMount, MountError, umountPath } from '../mount-point.ts';
import { correctedFuse } from './binding.ts';
import { nativeCallbacks } from './callbacks.ts';
import { PathOperations } from './operations.ts';

/** How often the table of mounts is looked at: libfuse does not tell that it was unmounted from outside. */
const MOUNT_CHECK_INTERVAL_MS = 1000;

export interface FuseNativeComponents {
  readonly fileSystem: FileSystem;
  readonly logger: Logger;
  readonly timers: Timers;
}

export interface FuseNativeOptions extends MountFlags {
  readonly directory: string;
  /** Default `ringfs`. */
  readonly fsName?: string;
  /** Let other users in. Default true for root; others need user_allow_other in /etc/fuse.conf. */
  readonly allowOther?: boolean;
}

/**
 * libfuse 2.9 through the npm package fuse-native: without root, and on macOS. What it cannot do is in LIMITS.md: above all, it
 * does not know the caller, so what is created belongs to the user who mounted; times have milliseconds; and other
 * mounts' changes do not reach the kernel's page cache until a file is opened again.
 */
export class FuseNativeFrontEnd implements FrontEnd {
  readonly #components: FuseNativeComponents;
  readonly #options: FuseNativeOptions;
  readonly unmounted: Promise<void>;
  #resolveUnmounted: () => void = () => {};
  #directory: string | undefined;
  #finished = false;
  #releaseNative: () => Promise<void> = async () => {};

  constructor(components: FuseNativeComponents, options: FuseNativeOptions) {
    this.#components = components;
    this.#options = options;
    this.unmounted = new Promise((resolve) => {
      this.#resolveUnmounted = resolve;
    });
  }

  async start(): Promise<void> {
    assert(this.#directory === undefined, 'a front end is started once');
    const directory = await checkMountPoint(this.#options.directory);
    const Base = await loadPackage();
    const operations = new PathOperations(this.#components, {
      caller: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: process.pid },
    });
    const errnoOf = (error: unknown): number => this.#errnoOf(error);
    const Fuse = correctedFuse(Base, operations, errnoOf);
    const fuse = new Fuse(directory, nativeCallbacks(operations, errnoOf), {
      // The package would answer for us after 15 s; the file system has its own limits.
      timeout: false,
      // The package has no word for most options, but passes this one on as it is.
      fsname: nativeMountOptions(this.#options, { isRoot: process.getuid?.() === 0 }),
      defaultPermissions: true,
    });
    await new Promise<void>((resolve, reject) => {
      fuse.mount((error) => {
        if (error === null) resolve();
        else
          reject(
            new MountError('failed', `fuse-native refused ${directory}: ${error.message}`, { cause: error }),
          );
      });
    });
    this.#directory = directory;
    this.#releaseNative = () => new Promise((resolve) => fuse.unmount(() => resolve()));
    // What was cached by another client's change cannot be told to the kernel; see LIMITS.md.
    this.#components.fileSystem.onInvalidate(() => {});
    void this.#watch(directory);
    this.#components.logger.info({ directory }, 'mounted');
  }

  #errnoOf(thrown: unknown): number {
    const error = asFsError(thrown);
    if (error !== thrown) this.#components.logger.error({ err: thrown }, 'a request failed unexpectedly');
    else if (error.code === 'EIO') this.#components.logger.warn({ err: error }, 'a request failed');
    return -error.errno;
  }

  /** Notices that the mount is gone, where the system can tell. Never rejects. */
  async #watch(directory: string): Promise<void> {
    if (process.platform !== 'linux') return;
    while (!this.#finished && (await findMount(directory)) !== undefined) {
      await this.#components.timers.sleep(MOUNT_CHECK_INTERVAL_MS);
    }
    await this.#finish();
  }

  async #finish(): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    await this.#releaseNative();
    this.#components.logger.info({ directory: this.#directory }, 'unmounted');
    this.#resolveUnmounted();
  }

  async stop(options: StopOptions = {}): Promise<void> {
    assert(this.#directory !== undefined, 'the front end was started');
    try {
      await umountPath(this.#directory, options);
    } catch (error) {
      // Unmounted from outside meanwhile: what was asked for.
      if (!(error instanceof MountError && error.code === 'not-mounted')) throw error;
    }
    await this.#finish();
  }
}

/** What libfuse is told with -o. It mounts nosuid and nodev unless told otherwise, which only root may do. */
export function nativeMountOptions(options: FuseNativeOptions, user: { readonly isRoot: boolean }): string {
  const linuxOnly = ['big_writes', 'use_ino', 'nonempty', 'max_read=131072'];
  return [
    options.fsName ?? 'ringfs',
    'entry_timeout=0',
    'negative_timeout=0',
    'attr_timeout=0',
    ...(process.platform === 'linux' ? linuxOnly : ['use_ino']),
    ...((options.allowOther ?? user.isRoot) ? ['allow_other'] : []),
    ...(options.readOnly === true ? ['ro'] : []),
    ...(user.isRoot && options.noSuid !== true ? ['suid'] : []),
    ...(user.isRoot && options.noDev !== true ? ['dev'] : []),
    ...(options.noExec === true ? ['noexec'] : []),
  ].join(',');
}

/** Loaded only when used: the native part needs libfuse 2 on the machine. */
async function loadPackage(): Promise<typeof import('fuse-native').default> {
  try {
    const { default: Fuse } = await import('fuse-native');
    // Unmounting is umountPath's; the package only has to let go of its native side afterwards.
    Fuse.unmount = (_directory, done) => done(null);
    return Fuse;
  } catch (error) {
    throw new MountError(
      'failed',
      `fuse-native cannot be loaded (${(error as Error).message}); it needs libfuse 2 (apt install libfuse2 fuse)`,
      { cause: error },
    );
  }
}
