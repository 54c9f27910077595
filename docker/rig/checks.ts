import { CommandError, sh } from './commands.ts';

/** What keeps the rig from being built, in words for who started it. */
export class RigError extends Error {}

/** What a check looks at on this machine. Replaced by tests. */
export interface MachineView {
  readonly platform: string;
  readonly uid: number | undefined;
  /** Runs a command; rejects when it fails. */
  readonly run: (command: string, ...args: readonly string[]) => Promise<unknown>;
}

const THIS_MACHINE: MachineView = { platform: process.platform, uid: process.getuid?.(), run: sh };

/** Programs and the Debian packages that have them. Docker itself is looked after by engine.sh. */
const DOCKER_PROGRAMS = { nsenter: 'util-linux', iptables: 'iptables' };
const NETNS_PROGRAMS = {
  ...DOCKER_PROGRAMS,
  ip: 'iproute2',
  flock: 'util-linux',
  git: 'git',
  sqlite3: 'sqlite3',
};

export interface Needs {
  readonly form: 'netns' | 'docker';
  /** Clocks that can be set. */
  readonly clocks: boolean;
}

/** Says what is missing before anything is begun. Throws RigError. */
export async function checkMachine(needs: Needs, machine: MachineView = THIS_MACHINE): Promise<void> {
  const { platform, uid, run } = machine;
  const holds = (...command: readonly [string, ...string[]]): Promise<boolean> =>
    run(...command).then(
      () => true,
      () => false,
    );
  if (platform !== 'linux' || uid !== 0) {
    throw new RigError(
      'the machines of the rig are cut off from each other as root on Linux: run it as root (sudo npm run rig)',
    );
  }
  if (!(await holds('test', '-c', '/dev/fuse'))) {
    throw new RigError(
      'there is no /dev/fuse: load the fuse module (modprobe fuse), or give the container --device /dev/fuse',
    );
  }
  const programs = needs.form === 'docker' ? DOCKER_PROGRAMS : NETNS_PROGRAMS;
  const missing = new Set<string>();
  for (const [command, name] of Object.entries(programs))
    if (!(await holds('sh', '-c', `command -v ${command}`))) missing.add(name);
  const needsFaketime = needs.form === 'netns' && needs.clocks;
  if (needsFaketime && !(await holds('sh', '-c', 'test -e /usr/lib/*/faketime/libfaketimeMT.so.1')))
    missing.add('faketime');
  if (missing.size > 0) throw new RigError(`missing programs: apt-get install ${[...missing].join(' ')}`);
  if (needs.form === 'docker') await checkDocker(run);
}

/** engine.sh installs and starts an engine where it can, and says what to do where it cannot. */
async function checkDocker(run: MachineView['run']): Promise<void> {
  try {
    await run('sh', 'docker/engine.sh');
  } catch (error) {
    const why = error instanceof CommandError ? error.message : String(error);
    throw new RigError(`--docker needs a Docker engine: ${why}`);
  }
}
