/**
 * Mounts a MemoryFileSystem: node dist/test/support/mount-memory-fs.js devfuse|fuse-native DIR. Prints `ready` when mounted and
 * unmounts when its standard input ends.
 */
import { DevfuseFrontEnd } from '../../mount/devfuse/front-end.ts';
import type { FrontEnd } from '../../mount/front-end.ts';
import { FuseNativeFrontEnd } from '../../mount/fuse-native/front-end.ts';
import { MemoryFileSystem } from './memory-file-system.ts';
import { lineLogger } from './mount-logger.ts';
import { systemTimers } from './system-timers.ts';

const [kind, directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: mount-memory-fs.js devfuse|fuse-native DIR');

const logger = lineLogger('warn', (line) => process.stderr.write(`${line}\n`));
const timers = systemTimers();
const fileSystem = new MemoryFileSystem({ clock: timers });
const frontEnd: FrontEnd =
  kind === 'devfuse'
    ? new DevfuseFrontEnd({ fileSystem, logger }, { directory })
    : new FuseNativeFrontEnd({ fileSystem, logger, timers }, { directory });

await frontEnd.start();
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  frontEnd.stop({ force: true }).catch((error: unknown) => {
    process.stderr.write(`unmounting failed: ${String(error)}\n`);
    process.exitCode = 1;
  });
});
await frontEnd.unmounted;
process.stdin.destroy();
