import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { MountError } from '../../mount/mount-point.ts';
import { CliError } from './cli-error.ts';
import type { FsckFlags } from './commands/fsck.ts';
import type { MountFlags } from './commands/mount.ts';
import { SERVER_SETTINGS } from './commands/server-settings.ts';
import type { UpFlags } from './commands/up-options.ts';
import { detach } from './detach.ts';
import { reportToParent } from './ringfs-child.ts';
import { addFlags, resolveSettings } from './settings.ts';
import { parseLogLevel } from './values.ts';

/** What each command needs is loaded when it runs: all of it together takes longer than most commands. */
const commands = {
  cluster: () => import('./commands/cluster.ts'),
  down: () => import('./commands/down.ts'),
  fsck: () => import('./commands/fsck.ts'),
  gc: () => import('./commands/gc.ts'),
  logger: () => import('../io/log/pino-logger.ts'),
  metaCheck: () => import('./commands/meta-check.ts'),
  metaDump: () => import('./commands/meta-dump.ts'),
  metaLoad: () => import('./commands/meta-load.ts'),
  metaRecover: () => import('./commands/meta-recover.ts'),
  mount: () => import('./commands/mount.ts'),
  node: () => import('./commands/node.ts'),
  server: () => import('./commands/server.ts'),
  status: () => import('./commands/status.ts'),
  umount: () => import('./commands/umount.ts'),
  up: () => import('./commands/up.ts'),
};

/** An action of a command, out of a module that is loaded then. */
function lazily<M, A extends unknown[]>(
  load: () => Promise<M>,
  pick: (module: M) => (...args: A) => Promise<void>,
): (...args: A) => Promise<void> {
  return async (...args) => pick(await load())(...args);
}

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

/** -o may be given more than once, as for mount(8). */
function joinOptions(value: string, previous?: string): string {
  return previous === undefined ? value : `${previous},${value}`;
}

const MOUNT_OPTIONS_HELP = `
Mount options:
  driver=NAME          auto, devfuse (root; the default for it) or fuse-native
  cache=SIZE           memory for blocks that were read (default: 256M)
  timeout=SECONDS      how long an operation waits for the servers before it fails
                       (default: 30)
  locks=WHERE          cluster (the default): flock and fcntl locks exclude processes of
                       all mounts; local: only those of this one
  followers=on|off     whether the leader is asked through other servers while it cannot be
                       reached from here (default: on)
  noallow_other        only the user who mounts may use it
  log=FILE             default: standard error with --foreground; in the background
                       /var/log/ringfs-mount-DIR.log, or under ~/.local/state/ringfs
  log_level=LEVEL      trace, debug, info, warn, error, fatal or silent (default: info)
  log_format=FORMAT    auto, json or pretty (default: auto)
  metrics_listen=ADDRESS
                       as --metrics-listen, for fstab(5)
  ro, nosuid, nodev, noexec
                       as for any file system; the default for root is rw,suid,dev,exec
  Those of fstab(5) that change nothing here, such as noatime, are accepted.

Example:
  ringfs mount 10.0.0.1:7400,10.0.0.2:7400 /mnt/ring -o cache=1G`;

function addUp(root: Command): void {
  root
    .command('up')
    .description(
      'start a local cluster and mount it; stays until interrupted, then unmounts and stops everything',
    )
    .option('--nodes <n>', 'number of servers (default: 3)')
    .option('--data <dir>', 'data directory', DEFAULT_DATA)
    .option('--mount <dir>', 'mount point; must exist and be empty (default: DATA/mnt)')
    .option('--driver <name>', 'auto, devfuse or fuse-native', 'auto')
    .option('--replicas <n>', 'copies of each block (default: 3, or the number of servers if smaller)')
    .option('--base-port <port>', 'first of as many ports as servers (default: 7400)')
    .option(
      '--metrics-base-port <port>',
      'serve metrics of the servers, then of the mount and the gateway, at this port of 127.0.0.1 and the next ones (default: nowhere)',
    )
    .option(
      '--http-port <port>',
      'serve the files over HTTP, and a web page, at this port of 127.0.0.1 (default: not at all)',
    )
    .option('--detach', 'return when it is ready; end it with: ringfs down; its log is DATA/logs/up.log')
    .option('--json', 'print the ready line as: ready {json}')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent', 'info')
    .option('-o, --options <list>', 'mount options, see: ringfs mount --help', joinOptions)
    .addHelpText(
      'after',
      '\nA data directory remembers its servers: later starts need --data only. Logs are in DATA/logs.',
    )
    .action(async (flags: UpFlags) => {
      const logLevel = parseLogLevel(flags.logLevel, '--log-level');
      if (flags.detach === true) {
        const args = process.argv.slice(2).filter((arg) => arg !== '--detach');
        const ready = await detach(args, path.join(path.resolve(flags.data), 'logs', 'up.log'));
        process.stdout.write(`${String(ready['line'])}\n`);
        return;
      }
      const stopped = stopSignal();
      const [{ runUp }, { createLogger }] = await Promise.all([commands.up(), commands.logger()]);
      await runUp(flags, createLogger({ level: logLevel, format: 'auto' }), stopped);
    });
}

function addMount(root: Command): void {
  root
    .command('mount')
    .description('mount a RingFS on a directory; returns when it is mounted, end it with: ringfs umount DIR')
    .argument('<addresses>', 'meta servers, as host:port[,host:port...]')
    .argument('<dir>', 'mount point; must exist and be empty')
    .option('-o, --options <list>', 'comma-separated mount options, as below', joinOptions)
    .option('-f, --foreground', 'stay until unmounted or interrupted')
    .option(
      '--metrics-listen <host:port>',
      'where to serve /metrics for Prometheus, and /healthz (default: nowhere); also the variable RINGFS_METRICS_LISTEN',
    )
    .option('--json', 'print the ready line as: ready {json}')
    .addHelpText('after', MOUNT_OPTIONS_HELP)
    .action(async (addresses: string, dir: string, flags: MountFlags) =>
      (await commands.mount()).runMount(addresses, dir, flags, stopSignal),
    );
}

const GIVE_UP = 'give up waiting after so long';

/** A command that asks the leader of a running cluster. `timeout`: what it does when the time is over. */
function addAsking(parent: Command, name: string, description: string, timeout: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--servers <addresses>', 'servers to ask, as host:port[,host:port...] (default: those of --data)')
    .option('--data <dir>', 'data directory of ringfs up', DEFAULT_DATA)
    .option('--timeout <seconds>', timeout, '60')
    .option('--json', 'print JSON');
}

function addCluster(root: Command): void {
  const cluster = root
    .command('cluster')
    .description('members of the metadata cluster: list, add, promote, remove, transfer leadership');
  const add = (name: string, description: string): Command => addAsking(cluster, name, description, GIVE_UP);
  add('list', 'members as the leader sees them').action(
    lazily(commands.cluster, (module) => module.runClusterList),
  );
  add('add', 'add a server that was started with --join; it votes once it has caught up')
    .argument('<member>', 'the server, as id=host:port')
    .option('--learner', 'it only keeps a copy, until it is promoted')
    .action(lazily(commands.cluster, (module) => module.runClusterAdd));
  add('promote', 'let a learner vote')
    .argument('<id>', 'server')
    .action(lazily(commands.cluster, (module) => module.runClusterPromote));
  add('remove', 'remove a server, which may be down')
    .argument('<id>', 'server')
    .option('--force', 'even if those that are left and answer are no majority')
    .action(lazily(commands.cluster, (module) => module.runClusterRemove));
  add('transfer', 'let another voter lead')
    .argument('<id>', 'server')
    .action(lazily(commands.cluster, (module) => module.runClusterTransfer));
  for (const command of cluster.commands) {
    command
      .exitOverride()
      .showHelpAfterError(`(ringfs cluster ${command.name()} --help shows how it is used)`);
  }
}

function addNode(root: Command): void {
  const node = root.command('node').description('block nodes: list, drain, remove, and take back');
  const add = (name: string, description: string, timeout: string): Command =>
    addAsking(node, name, description, timeout);
  add('list', 'block nodes as the leader of the metadata cluster sees them', GIVE_UP).action(
    lazily(commands.node, (module) => module.runNodeList),
  );
  add(
    'drain',
    'have a node hand over its blocks and take no new ones; returns when it may be stopped',
    'give up when nothing has moved for so long; the node goes on',
  )
    .argument('<id>', 'block node')
    .option('--no-wait', 'return at once')
    .option('--force', 'even if fewer nodes are left than there are copies, or the node does not answer')
    .action(lazily(commands.node, (module) => module.runNodeDrain));
  add('remove', 'forget a node that was drained or is gone for good', GIVE_UP)
    .argument('<id>', 'block node')
    .option('--force', 'even if blocks are lost or lose copies')
    .action(lazily(commands.node, (module) => module.runNodeRemove));
  add('add', 'take back a node that was drained or removed', GIVE_UP)
    .argument('<id>', 'block node')
    .action(lazily(commands.node, (module) => module.runNodeAdd));
  for (const command of node.commands) {
    command.exitOverride().showHelpAfterError(`(ringfs node ${command.name()} --help shows how it is used)`);
  }
}

function addMeta(root: Command): void {
  const meta = root.command('meta').description('the metadata as a whole: dump, load, check, recover');
  meta
    .command('dump')
    .description(
      'write the metadata as of one moment to a file: of a running cluster, or of a stopped server',
    )
    .requiredOption('--out <file>', 'the dump; - is standard output')
    .option('--servers <addresses>', 'servers of a running cluster, as host:port[,host:port...]')
    .option(
      '--data <dir>',
      'data directory of a stopped server, or of ringfs up, whose servers are asked',
      DEFAULT_DATA,
    )
    .option('--from <id>', 'the server to read at: a follower spares the leader (default: the leader)')
    .option('--timeout <seconds>', 'give up looking for the leader after so long', '60')
    .option('--json', 'print JSON')
    .action(lazily(commands.metaDump, (module) => module.runMetaDump));
  meta
    .command('load')
    .description('make the data directory of a server of a new cluster from a dump')
    .argument('<file>', 'the dump; - is standard input')
    .requiredOption('--data <dir>', 'data directory to make; refused when it has anything')
    .requiredOption('--id <id>', 'name of the server')
    .requiredOption(
      '--peers <list>',
      'the meta servers of the new cluster, as id=host:port,...; the same for each',
    )
    .option('--cluster-id <id>', 'another cluster than the one of the dump; blocks stay with that one')
    .option('--beside-blocks', 'the directory has the blocks of this server and no metadata')
    .option('--json', 'print JSON')
    .action(lazily(commands.metaLoad, (module) => module.runMetaLoad));
  meta
    .command('check')
    .description('look for contradictions in the metadata; exit status 1 when there are any')
    .option('--data <dir>', 'data directory of a stopped server')
    .option('--dump <file>', 'a dump; - is standard input')
    .option('--scratch <dir>', 'where to sort; needs about as much room as the metadata (default: TMPDIR)')
    .option('--json', 'print JSON')
    .action(lazily(commands.metaCheck, (module) => module.runMetaCheck));
  meta
    .command('recover')
    .description('go on with one server of a cluster that has lost its majority for good')
    .requiredOption('--data <dir>', 'data directory of the surviving server, which is stopped')
    .option('--force-new-cluster', 'do it; otherwise only what it would mean is printed')
    .option('--json', 'print JSON')
    .action(lazily(commands.metaRecover, (module) => module.runMetaRecover));
  for (const command of meta.commands) {
    command.exitOverride().showHelpAfterError(`(ringfs meta ${command.name()} --help shows how it is used)`);
  }
}

const FSCK_HELP = `
Exit status: 0 nothing is wrong, 1 damage was found and all of it repaired,
4 damage is left, 8 not everything could be checked, 2 called wrongly.

The metadata are read as of one moment and checked as by: ringfs meta check. Then every
copy of every block that a file refers to is read and hashed where it lies, or with
--fast only asked for. Clients may go on meanwhile. With --repair, the nodes that have a bad
copy or none fetch a good one from another node. Nothing else is changed.`;

function addFsck(root: Command): void {
  root
    .command('fsck')
    .description(
      'check all files and every copy of their blocks in a running cluster, and repair what can be',
    )
    .option('--servers <addresses>', 'servers to ask, as host:port[,host:port...] (default: those of --data)')
    .option('--data <dir>', 'data directory of ringfs up', DEFAULT_DATA)
    .option('--repair', 'replace bad and missing copies by good ones of other nodes')
    .option('--fast', 'only ask whether the copies are there, without reading them')
    .option('--scratch <dir>', 'where to sort; needs about as much room as the metadata (default: TMPDIR)')
    .option('--timeout <seconds>', 'give up looking for the leader after so long', '60')
    .option('--json', 'print JSON')
    .addHelpText('after', FSCK_HELP)
    .action(async (flags: FsckFlags) => (await commands.fsck()).runFsck(flags));
}

export function program(): Command {
  const root = new Command('ringfs')
    .description('A distributed filesystem that you mount as a local directory.')
    .version(version())
    .configureOutput({ outputError: (text, write) => write(`ringfs: ${text.replace(/^error: /, '')}`) })
    .addHelpText(
      'after',
      '\nringfs COMMAND --help tells more. Exit status: 0 done, 1 failed, 2 called wrongly.',
    );
  addUp(root);
  root
    .command('down')
    .description('end a cluster that ringfs up started, also when parts of it have died')
    .option('--data <dir>', 'its data directory', DEFAULT_DATA)
    .option('--json', 'print JSON')
    .action(lazily(commands.down, (module) => module.runDown));
  addFlags(root.command('server'), SERVER_SETTINGS)
    .description('run one server until it is interrupted')
    .addHelpText('after', SERVER_HELP)
    .action(async (flags: Record<string, unknown>) => {
      const settings = resolveSettings(SERVER_SETTINGS, flags, process.env);
      const stopped = stopSignal();
      await (await commands.server()).runServer(settings, version(), stopped);
    });
  addMount(root);
  root
    .command('umount')
    .description('unmount a RingFS; what programs have written is sent to the servers first')
    .argument('<dir>', 'mount point')
    .option('-l, --lazy', 'detach now, even if programs still use it')
    .option('--json', 'print JSON')
    .action(lazily(commands.umount, (module) => module.runUmount));
  root
    .command('status')
    .description(
      'members, roles, leader, Raft and ring state, capacity, health; exit status 1 when no server answers',
    )
    .argument('[addresses]', 'servers to ask, as host:port[,host:port...] (default: those of --data)')
    .option('--data <dir>', 'data directory of ringfs up', DEFAULT_DATA)
    .option('--json', 'print JSON')
    .action(lazily(commands.status, (module) => module.runStatus));
  root
    .command('gc')
    .description(
      'what blocks no file refers to any more, and a pass of deleting them and giving their space back',
    )
    .argument('[addresses]', 'servers to ask, as host:port[,host:port...] (default: those of --data)')
    .option('--dry-run', 'only show')
    .option('--data <dir>', 'data directory of ringfs up', DEFAULT_DATA)
    .option('--json', 'print JSON')
    .action(lazily(commands.gc, (module) => module.runGc));
  addFsck(root);
  addCluster(root);
  addNode(root);
  addMeta(root);
  root.exitOverride().showHelpAfterError('(ringfs --help shows the commands)');
  for (const command of root.commands)
    command.exitOverride().showHelpAfterError(`(ringfs ${command.name()} --help shows how it is used)`);
  return root;
}

const SERVER_HELP = `
Every setting is also a variable and a key of the config file: --cluster-id is
RINGFS_CLUSTER_ID and cluster-id. Flags win over variables, and these over the file.

Example, one of three:
  ringfs server --id s1 --listen 10.0.0.1:7400 --data /srv/ringfs \\
    --peers s1=10.0.0.1:7400,s2=10.0.0.2:7400,s3=10.0.0.3:7400

A fourth, later, and on any machine that reaches the cluster:
  ringfs server --id s4 --listen 10.0.0.4:7400 --data /srv/ringfs \
    --join 10.0.0.1:7400,10.0.0.2:7400
  ringfs cluster add s4=10.0.0.4:7400 --servers 10.0.0.1:7400

A gateway, which serves the files over HTTP (docs/gateway.md), on any machine:
  ringfs server --id g1 --roles gateway --servers 10.0.0.1:7400,10.0.0.2:7400`;

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
