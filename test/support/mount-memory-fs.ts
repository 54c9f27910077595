/**
 * Mounts a MemoryFileSystem: node dist/test/support/mount-memory-fs.js devfuse|fuse-native DIR. Prints `ready` when mounted and
 * unmounts when its standard input ends. Each line of input is a MountCommand, carried out and answered with `done`.
 */
import { createInterface } from 'node:readline';
import { DevfuseFrontEnd } from '../../mount/devfuse/front-end.ts';
import type { FrontEnd } from '../../mount/front-end.ts';
import { FuseNativeFrontEnd } from '../../mount/fuse-native/front-end.ts';
import type { FsError } from '../../src/base/errno.ts';
import { type Ino, ROOT_INO } from '../../src/base/ids.ts';
import type { FileHandle } from '../../src/ports/file-system.ts';
import { MemoryFileSystem } from './memory-file-system.ts';
import { lineLogger } from './mount-logger.ts';
import type { MountCommand } from './mounted-memory-fs.ts';
import { systemTimers } from './system-timers.ts';

const [kind, directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: mount-memory-fs.js devfuse|fuse-native DIR');

/** This name is found only when who asks is interrupted. */
const STALLED = Buffer.from('stalled');
/** Files of this length are never read. */
const UNREADABLE_BYTES = 12_345;
const CALLER = { uid: 0, gid: 0, pid: 0 };

class StallingFileSystem extends MemoryFileSystem {
  override async lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal) {
    if (!STALLED.equals(name)) return super.lookup(parent, name);
    process.stdout.write('stalled\n');
    return new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as FsError));
    });
  }

  override async read(ino: Ino, handle: FileHandle, offset: number, length: number) {
    if ((await this.getattr(ino)).size !== UNREADABLE_BYTES) return super.read(ino, handle, offset, length);
    process.stdout.write('reading\n');
    return new Promise<never>(() => {});
  }
}

const logger = lineLogger('warn', (line) => process.stderr.write(`${line}\n`));
const timers = systemTimers();
const fileSystem = new StallingFileSystem({ clock: timers });
const frontEnd: FrontEnd =
  kind === 'devfuse'
    ? new DevfuseFrontEnd({ fileSystem, logger, timers }, { directory, attrTimeoutMs: 3_600_000 })
    : new FuseNativeFrontEnd({ fileSystem, logger, timers }, { directory });

/** Changes a file of the root directory as another client would: not through this kernel. */
async function overwrite(name: string, content: string): Promise<void> {
  const ino = (await fileSystem.lookup(ROOT_INO, Buffer.from(name))).ino as Ino;
  const { handle } = await fileSystem.open(CALLER, ino, 0o1001);
  await fileSystem.write(ino, handle, 0, Buffer.from(content));
  await fileSystem.release(ino, handle);
  fileSystem.forget(ino, 1);
  fileSystem.invalidate([{ ino, data: true }]);
}

/** Tells the kernel so, and does not wait until it has listened. */
async function invalidate(name: string): Promise<void> {
  const ino = (await fileSystem.lookup(ROOT_INO, Buffer.from(name))).ino as Ino;
  fileSystem.forget(ino, 1);
  fileSystem.invalidate([{ ino, data: true }]);
}

async function chmod(name: string, mode: number): Promise<void> {
  const ino = (await fileSystem.lookup(ROOT_INO, Buffer.from(name))).ino as Ino;
  await fileSystem.setattr(CALLER, ino, { mode });
  fileSystem.forget(ino, 1);
  fileSystem.invalidate([{ ino, data: false }]);
}

async function carryOut(command: MountCommand): Promise<string> {
  switch (command.command) {
    case 'overwrite':
      await overwrite(command.name, command.content);
      return 'done';
    case 'invalidate':
      await invalidate(command.name);
      return 'done';
    case 'chmod':
      await chmod(command.name, command.mode);
      return 'done';
    case 'stop':
      return frontEnd.stop(command.options).then(
        () => 'done',
        (error: unknown) => String((error as { code?: unknown }).code),
      );
    case 'counts':
      return JSON.stringify({
        lookups: fileSystem.lookupCount(),
        handles: fileSystem.openHandles(),
        inodes: fileSystem.inodes(),
      });
  }
}

await frontEnd.start();
process.stdout.write('ready\n');
const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  carryOut(JSON.parse(line) as MountCommand).then(
    (answer) => process.stdout.write(`${answer}\n`),
    (error: unknown) => process.stdout.write(`failed: ${String(error)}\n`),
  );
});
lines.once('close', () => {
  frontEnd.stop({ force: true }).catch((error: unknown) => {
    process.stderr.write(`unmounting failed: ${String(error)}\n`);
    process.exitCode = 1;
  });
});
await frontEnd.unmounted;
process.stdout.write('unmounted\n');
process.stdin.destroy();
