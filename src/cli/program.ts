import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { MountError } from '../../mount/mount-point.ts';
import { createLogger } from '../io/log/pino-logger.ts';
import { CliError } from './cli-error.ts';
import { runDown } from './commands/down.ts';
import { type MountFlags, runMount } from './commands/mount.ts';
import { runServer } from './commands/server.ts';
import { SERVER_SETTINGS } from './commands/server-settings.ts';
import { runStatus } from './commands/status.ts';
import { runUmount } from './commands/umount.ts';
import { runUp } from './commands/up.ts';
import type { UpFlags } from './commands/up-options.ts';
import { detach } from './detach.ts';
import { addFlags, resolveSettings } from './settings.ts';
import { reportToParent } from './supervisor.ts';
import { parseLogLevel } from './values.ts';

const DEFAULT_DATA = '.ringfs';

export function version(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(path.join(import.meta.dirname, '../../../package.json'), 'utf8'),
  );
  return (manifest as { version: string }).version;
}

/** Resolves with the name of the first SIGINT, SIGTERM or SIGHUP. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve(name));
  });
}

function upCommand(): Command {
  return new Command('up')
    .description(
      'start a local cluster and mount it; stays until interrupted, then unmounts and stops everything',
    )
    .option('--nodes <n>', 'number of servers (default: 3)')
    .option('--data <dir>', 'data directory', DEFAULT_DATA)
    .option('--mount <dir>', 'mount point; must exist and be empty (default: DATA/mnt)')
    .option('--driver <name>', 'auto, devfuse or fuse-native', 'auto')
    .option('--replicas <n>', 'copies of each block (default: 3, or the number of servers if smaller)')
    .option('--base-port <port>', 'first of as many ports as servers (default: 7400)')
    .option('--detach', 'return when it is ready; end it with: ringfs down')
    .option('--json', 'print the ready line as: ready {json}')
    .option('--log-level <level>', 'trace, debug, info, warn, error', 'info')
    .option('-o, --options <list>', 'mount options, see: ringfs mount --help')
    .action(async (flags: UpFlags) => {
      const logLevel = parseLogLevel(flags.logLevel, '--log-level');
      if (flags.detach === true) {
        const args = process.argv.slice(2).filter((arg) => arg !== '--detach');
        const ready = await detach(args, path.join(path.resolve(flags.data), 'logs', 'up.log'));
        process.stdout.write(`${String(ready['line'])}\n`);
        return;
      }
      await runUp(flags, createLogger({ level: logLevel, format: 'auto' }), stopSignal());
    });
}

function mountCommand(): Command {
  return new Command('mount')
    .description('mount a RingFS on a directory; returns when it is mounted, end it with: ringfs umount DIR')
    .argument('<addresses>', 'meta servers, as host:port[,host:port...]')
    .argument('<dir>', 'mount point; must exist and be empty')
    .option(
      '-o, --options <list>',
      'comma-separated: driver=auto|devfuse|fuse-native, cache=SIZE, timeout=SECONDS, log=FILE, log_level=, log_format=',
      (value, previous?: string) => (previous === undefined ? value : `${previous},${value}`),
    )
    .option('-f, --foreground', 'stay until unmounted or interrupted')
    .option('--json', 'print the ready line as: ready {json}')
    .action((addresses: string, dir: string, flags: MountFlags) =>
      runMount(addresses, dir, flags, stopSignal),
    );
}

export function program(): Command {
  const root = new Command('ringfs')
    .description('A distributed filesystem that you mount as a local directory.')
    .version(version())
    .showHelpAfterError('(ringfs --help shows the commands)')
    .configureOutput({ outputError: (text, write) => write(`ringfs: ${text.replace(/^error: /, '')}`) });
  root.addCommand(upCommand());
  root
    .command('down')
    .description('end a cluster that ringfs up started')
    .option('--data <dir>', 'its data directory', DEFAULT_DATA)
    .option('--json', 'print JSON')
    .action(runDown);
  addFlags(root.command('server'), SERVER_SETTINGS)
    .description('run one server; every flag is also a RINGFS_* variable and a key of the config file')
    .action((flags: Record<string, unknown>) =>
      runServer(resolveSettings(SERVER_SETTINGS, flags, process.env), version(), stopSignal()),
    );
  root.addCommand(mountCommand());
  root
    .command('umount')
    .description('unmount a RingFS')
    .argument('<dir>')
    .option('-l, --lazy', 'detach now, even if programs still use it')
    .option('--json', 'print JSON')
    .action(runUmount);
  root
    .command('status')
    .description(
      'members, roles, leader, Raft and ring state, capacity, health; exit status 1 when no server answers',
    )
    .argument('[addresses]', 'servers to ask, as host:port[,host:port...] (default: those of --data)')
    .option('--data <dir>', 'data directory of ringfs up', DEFAULT_DATA)
    .option('--json', 'print JSON')
    .action(runStatus);
  for (const command of [root, ...root.commands]) command.exitOverride();
  return root;
}

/** Runs one command line. Returns the exit status: 0 done, 1 failed, 2 called wrongly. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await program().parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(error);
  }
}

function report(thrown: unknown): number {
  const error = thrown instanceof MountError ? new CliError(thrown.message) : thrown;
  if (error instanceof CliError) {
    const hint = error.hint === undefined ? '' : `\n  ${error.hint}`;
    process.stderr.write(`ringfs: ${error.message}${hint}\n`);
    reportToParent({ error: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) });
    return error.exitCode;
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`ringfs: unexpected failure: ${detail}\n`);
  reportToParent({ error: error instanceof Error ? error.message : String(error) });
  return 1;
}
