import { endianness } from 'node:os';
import { assert, defined } from '../../src/base/assert.ts';
import type { Timers } from '../../src/ports/clock.ts';
import type { FileSystem } from '../../src/ports/file-system.ts';
import type { Logger } from '../../src/ports/logger.ts';
import type { FrontEnd, MountFlags, StopOptions } from '../front-end.ts';
import { checkDevfuse, checkMountPoint, findMount, MountError, umountPath } from '../mount-point.ts';
import { forgetServing, recordServing } from '../serving-process.ts';
import { Channel } from './channel.ts';
import { KernelDevice } from './device.ts';
import { Dispatcher } from './dispatcher.ts';
import { GracefulInterrupts } from './interrupts.ts';
import { InvalidationQueue } from './invalidation-queue.ts';
import { mountKernel, raiseReadahead } from './kernel-mount.ts';
import {
  CONGESTION_THRESHOLD,
  MAX_BACKGROUND,
  MAX_READAHEAD_BYTES,
  MAX_WRITE_BYTES,
  READERS_DEFAULT,
} from './limits.ts';
import { REQUEST_OVERHEAD_BYTES } from './protocol/constants.ts';

export interface DevfuseComponents {
  readonly fileSystem: FileSystem;
  readonly logger: Logger;
  readonly timers: Timers;
}

export interface DevfuseOptions extends MountFlags {
  readonly directory: string;
  /** Default `ringfs`. */
  readonly fsName?: string;
  /** Let other users than root in. Default true; permissions are checked by the kernel. */
  readonly allowOther?: boolean;
  /** Default 0: a name is asked for every time, since names are not invalidated by notices. */
  readonly entryTimeoutMs?: number;
  /** Default 1,000; changes by other clients arrive as notices before. */
  readonly attrTimeoutMs?: number;
  /** Threads of libuv's pool that wait for requests; UV_THREADPOOL_SIZE must leave some for others. Default 2. */
  readonly readers?: number;
  /** Locks are the file system's; otherwise the kernel keeps them for this mount alone. Default false. */
  readonly remoteLocks?: boolean;
}

/** The kernel's FUSE protocol over /dev/fuse, spoken by this process without a library. Linux, as root. */
export class DevfuseFrontEnd implements FrontEnd {
  readonly #components: DevfuseComponents;
  readonly #options: DevfuseOptions;
  readonly unmounted: Promise<void>;
  #resolveUnmounted: () => void = () => {};
  #directory: string | undefined;
  /** Of the mount, as `major:minor`. */
  #mounted: string | undefined;

  constructor(components: DevfuseComponents, options: DevfuseOptions) {
    this.#components = components;
    this.#options = options;
    this.unmounted = new Promise((resolve) => {
      this.#resolveUnmounted = resolve;
    });
  }

  async start(): Promise<void> {
    assert(this.#directory === undefined, 'a front end is started once');
    assert(endianness() === 'LE', 'the FUSE codec is for little-endian machines');
    const { directory: requested } = this.#options;
    await checkDevfuse();
    const directory = await checkMountPoint(requested);
    const device = await KernelDevice.open('/dev/fuse');
    try {
      await mountKernel(device.fd, directory, {
        ...this.#options,
        fsName: this.#options.fsName ?? 'ringfs',
        allowOther: this.#options.allowOther ?? true,
        maxReadBytes: MAX_WRITE_BYTES,
      });
    } catch (error) {
      device.close();
      throw error;
    }
    this.#directory = directory;
    await this.#record(directory);
    const dispatcher = this.#serve(device);
    try {
      await dispatcher.initialized;
    } catch (error) {
      await umountPath(directory, { force: true });
      throw new MountError('failed', (error as Error).message, { cause: error });
    }
    if (!(await raiseReadahead(directory, MAX_READAHEAD_BYTES))) {
      this.#components.logger.warn({ directory }, 'read-ahead stays at the default: sysfs is not writable');
    }
    this.#components.logger.info({ directory }, 'mounted');
  }

  /** Never rejects: without the record everything works, but for a mount process that is killed at a bad moment. */
  async #record(directory: string): Promise<void> {
    try {
      this.#mounted = (await findMount(directory))?.device;
      if (this.#mounted !== undefined) await recordServing(this.#mounted);
    } catch (error) {
      this.#components.logger.debug({ err: error, directory }, 'who serves the mount cannot be written down');
    }
  }

  /** Answers requests until the kernel ends the connection. Not awaited: it lives as long as the mount. */
  #serve(device: KernelDevice): Dispatcher {
    const { fileSystem, logger, timers } = this.#components;
    const interrupts = new GracefulInterrupts({ timers });
    const channel = new Channel(
      { device, logger },
      {
        readers: this.#options.readers ?? READERS_DEFAULT,
        requestBytesMax: MAX_WRITE_BYTES + REQUEST_OVERHEAD_BYTES,
      },
    );
    const dispatcher = new Dispatcher(
      { channel, fileSystem, logger, interrupts },
      {
        init: {
          maxWriteBytes: MAX_WRITE_BYTES,
          maxReadaheadBytes: MAX_READAHEAD_BYTES,
          maxBackground: MAX_BACKGROUND,
          congestionThreshold: CONGESTION_THRESHOLD,
          remoteLocks: this.#options.remoteLocks ?? false,
        },
        entryTimeoutMs: this.#options.entryTimeoutMs ?? 0,
        attrTimeoutMs: this.#options.attrTimeoutMs ?? 1000,
      },
    );
    const invalidations = new InvalidationQueue({ channel });
    fileSystem.onInvalidate(
      (list) => invalidations.push(list),
      () => invalidations.idle(),
    );
    void this.#run(device, channel, dispatcher, invalidations);
    return dispatcher;
  }

  async #run(
    device: KernelDevice,
    channel: Channel,
    dispatcher: Dispatcher,
    invalidations: InvalidationQueue,
  ): Promise<void> {
    const outcome = await channel.run((request, done) => dispatcher.receive(request, done));
    dispatcher.connectionEnded();
    if (outcome === 'failed') await this.#abandon();
    await dispatcher.idle();
    await invalidations.idle();
    if (this.#mounted !== undefined) await forgetServing(this.#mounted);
    device.close();
    this.#components.logger.info({ directory: this.#directory }, 'unmounted');
    this.#resolveUnmounted();
  }

  /** Nobody answers any more: applications get errors instead of waiting. Never rejects. */
  async #abandon(): Promise<void> {
    const directory = defined(this.#directory, 'the mounted directory');
    await umountPath(directory, { force: true }).catch((error: unknown) => {
      this.#components.logger.error({ err: error, directory }, 'unmounting failed');
    });
  }

  async stop(options: StopOptions = {}): Promise<void> {
    assert(this.#directory !== undefined, 'the front end was started');
    try {
      await umountPath(this.#directory, options);
    } catch (error) {
      // Unmounted from outside meanwhile: what was asked for.
      if (!(error instanceof MountError && error.code === 'not-mounted')) throw error;
    }
    // With `lazy` the connection lives on until the last open file is closed; `unmounted` tells.
    if (options.lazy !== true || options.force === true) await this.unmounted;
  }
}
