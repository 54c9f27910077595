/**
 * Breaks machines of a cluster while two mounts work on it, and says what the work saw.
 *
 *     npm run rig -- [--list] [--docker|--netns] [--json FILE] [scenario...]
 *
 * Without names all scenarios run. The exit status is 1 when anything acknowledged was lost or anything was wrong, 2 when the rig
 * could not be built or a scenario not be carried out.
 */
import { writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import { Command } from 'commander';
import { sh } from './commands.ts';
import { DockerRig } from './docker-rig.ts';
import { NetnsRig } from './netns-rig.ts';
import type { Rig } from './rig.ts';
import { type Report, runScenario } from './run-scenario.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';

interface Flags {
  readonly list?: boolean;
  readonly docker?: boolean;
  readonly netns?: boolean;
  readonly json?: string;
  readonly scale: string;
}

class RigError extends Error {}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function chosen(names: readonly string[]): readonly Scenario[] {
  if (names.length === 0) return SCENARIOS;
  return names.map((name) => {
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined)
      throw new RigError(`there is no scenario ${name}; see: npm run rig -- --list`);
    return scenario;
  });
}

/** Programs and the packages that have them. Docker and what it needs is looked after by engine.sh. */
const DOCKER_PROGRAMS = { nsenter: 'util-linux' };
const NETNS_PROGRAMS = {
  ...DOCKER_PROGRAMS,
  ip: 'iproute2',
  iptables: 'iptables',
  flock: 'util-linux',
  git: 'git',
  sqlite3: 'sqlite3',
};

/** Says what is missing before anything is begun. */
async function checkMachine(programs: Readonly<Record<string, string>>): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new RigError(
      'the machines of the rig are cut off from each other as root on Linux: run it as root',
    );
  }
  await sh('test', '-c', '/dev/fuse').catch(() => {
    throw new RigError(
      'there is no /dev/fuse: load the fuse module, or give the container --device /dev/fuse',
    );
  });
  const missing: string[] = [];
  for (const [command, name] of Object.entries(programs)) {
    await sh('sh', '-c', `command -v ${command}`).catch(() => missing.push(name));
  }
  if (missing.length > 0) throw new RigError(`missing programs: apt-get install ${missing.join(' ')}`);
}

function seconds(ms: number | null): string {
  return ms === null ? '-' : `${(ms / 1000).toFixed(1)} s`;
}

function print(reports: readonly Report[]): void {
  const table = new Table({
    head: [
      'scenario',
      'operations',
      'failed',
      'acknowledged',
      'lost or wrong',
      'longest stall',
      'whole again after',
    ],
    style: { head: [], border: [] },
  });
  for (const { scenario, verdict, wholeAfterMs } of reports) {
    table.push([
      scenario,
      verdict.operations,
      verdict.failed,
      verdict.acknowledged,
      verdict.wrong.length,
      seconds(verdict.longestStallMs),
      seconds(wholeAfterMs),
    ]);
  }
  process.stdout.write(`${table.toString()}\n`);
  for (const { scenario, verdict } of reports) {
    for (const line of verdict.wrong) process.stdout.write(`WRONG ${scenario}: ${line}\n`);
    for (const line of verdict.errors) process.stdout.write(`failed ${scenario}: ${line}\n`);
  }
}

async function main(names: readonly string[], flags: Flags): Promise<number> {
  if (flags.list === true) {
    for (const { name, summary } of SCENARIOS) process.stdout.write(`${name.padEnd(20)} ${summary}\n`);
    return 0;
  }
  const scenarios = chosen(names);
  const scale = Number(flags.scale);
  if (!(scale > 0)) throw new RigError(`--scale ${flags.scale}: a number above 0`);
  if (flags.docker === true && flags.netns === true) throw new RigError('--docker or --netns, not both');
  await checkMachine(flags.docker === true ? DOCKER_PROGRAMS : NETNS_PROGRAMS);
  const open = (): Promise<Rig> =>
    flags.docker === true ? DockerRig.open() : NetnsRig.open({ servers: 3, mounts: 2 });
  const reports: Report[] = [];
  let undone = 0;
  for (const scenario of scenarios) {
    try {
      const report = await runScenario(scenario, open, scale);
      reports.push(report);
      for (const { atMs, what } of report.timeline)
        process.stdout.write(`${scenario.name} ${seconds(atMs)}: ${what}\n`);
    } catch (error) {
      undone++;
      process.stderr.write(`rig: ${scenario.name} could not be carried out: ${messageOf(error)}\n`);
    }
  }
  print(reports);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(reports, null, 2)}\n`);
  if (reports.some(({ verdict }) => verdict.wrong.length > 0)) return 1;
  return undone > 0 ? 2 : 0;
}

const program = new Command('rig')
  .description('breaks machines of a RingFS cluster while two mounts work on it, and says what the work saw')
  .argument('[scenario...]', 'which; all when none is named')
  .option('--list', 'print the scenarios')
  .option('--docker', 'containers')
  .option('--netns', 'processes in network namespaces (the default)')
  .option('--scale <factor>', 'stretches every wait', '1')
  .option('--json <file>', 'write the reports there as well')
  .action(async (names: string[], flags: Flags) => {
    process.exitCode = await main(names, flags);
  });
try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`rig: ${messageOf(error)}\n`);
  process.exitCode = 2;
}
