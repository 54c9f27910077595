/**
 * Breaks machines of a cluster while two mounts work on it, and says what the work saw.
 *
 *     npm run rig -- [--list] [--docker|--netns] [--json FILE] [scenario...]
 *     npm run rig -- chaos --minutes N --seed S [--picture FILE]
 *
 * Without names all scenarios run. The exit status is 1 when anything acknowledged was lost or anything was wrong, 2 when the rig
 * could not be built or a scenario not be carried out.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Table from 'cli-table3';
import { Command } from 'commander';
import { chaos } from './chaos.ts';
import { checkMachine, RigError } from './checks.ts';
import type { ClusterSpec } from './cluster.ts';
import { messageOf } from './commands.ts';
import { DockerBackend } from './docker-backend.ts';
import { NetnsBackend } from './netns-backend.ts';
import { drawTimeline } from './picture.ts';
import { Rig } from './rig.ts';
import { type Report, type RunOptions, runScenario } from './run-scenario.ts';
import type { Scenario, TimelineEntry } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';

interface Flags {
  readonly list?: boolean;
  readonly docker?: boolean;
  readonly netns?: boolean;
  readonly json?: string;
  readonly logs?: string;
  readonly picture?: string;
  readonly scale: string;
  readonly seed?: string;
  readonly minutes: string;
}

const CHAOS = 'chaos';
/** As a shell has it: 128 and the number of SIGINT. */
const INTERRUPTED = 130;

function chosen(names: readonly string[], flags: Flags): readonly Scenario[] {
  if (names.length === 0) return SCENARIOS;
  return names.map((name) => {
    if (name === CHAOS) return chaos(positive(flags.minutes, '--minutes'), seedOf(flags));
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined)
      throw new RigError(`there is no scenario ${name}; see: npm run rig -- --list`);
    return scenario;
  });
}

function positive(text: string, what: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new RigError(`${what} ${text}: a number above 0`);
  return value;
}

function seedOf({ seed }: Flags): number {
  if (seed === undefined) return Math.floor(Math.random() * 0x1_0000_0000);
  if (!/^\d{1,10}$/.test(seed)) throw new RigError(`--seed ${seed}: a whole number`);
  return Number(seed);
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

function list(): void {
  for (const { name, summary } of SCENARIOS) process.stdout.write(`${name.padEnd(20)} ${summary}\n`);
  const summary = 'a random mixture of the others for --minutes N; the same for the same --seed S';
  process.stdout.write(`${CHAOS.padEnd(20)} ${summary}\n`);
}

async function opener(form: Rig['form']): Promise<RunOptions['open']> {
  if (form === 'docker') {
    process.stdout.write('making the images of this clone\n');
    await DockerBackend.prepare();
  }
  const make = (root: string) => (form === 'docker' ? new DockerBackend(root) : new NetnsBackend(root));
  return (spec: ClusterSpec) => Rig.open(make, spec, closeWhenInterrupted);
}

/** Machines are not left behind. */
function closeWhenInterrupted(rig: Rig): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.removeAllListeners(signal);
    process.once(signal, () => {
      void rig.close().finally(() => process.exit(INTERRUPTED));
    });
  }
}

async function main(names: readonly string[], flags: Flags): Promise<number> {
  if (flags.list === true) {
    list();
    return 0;
  }
  const scenarios = chosen(names, flags);
  const scale = positive(flags.scale, '--scale');
  const seed = seedOf(flags);
  if (flags.docker === true && flags.netns === true) throw new RigError('--docker or --netns, not both');
  const form = flags.docker === true ? 'docker' : 'netns';
  const clocks = scenarios.some(({ cluster }) => cluster?.clocks === true);
  await checkMachine({ form, clocks });
  const open = await opener(form);
  const reports: Report[] = [];
  let undone = 0;
  for (const scenario of scenarios) {
    const logs = flags.logs === undefined ? undefined : path.join(flags.logs, scenario.name);
    const onEntry = ({ atMs, what }: TimelineEntry): void => {
      process.stdout.write(`${scenario.name} ${seconds(atMs)}: ${what}\n`);
    };
    try {
      process.stdout.write(`${scenario.name}: starting a cluster, and work on it\n`);
      const report = await runScenario(scenario, { open, scale, seed, logs, onEntry });
      reports.push(report);
      if (report.undone !== null) undone++;
    } catch (error) {
      undone++;
      process.stderr.write(`rig: ${scenario.name} could not be carried out: ${messageOf(error)}\n`);
    }
  }
  print(reports);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(reports, null, 2)}\n`);
  const [last] = reports.slice(-1);
  if (flags.picture !== undefined && last !== undefined) writeFileSync(flags.picture, drawTimeline(last));
  if (reports.some(({ verdict }) => verdict.wrong.length > 0)) return 1;
  return undone > 0 ? 2 : 0;
}

const program = new Command('rig')
  .description('breaks machines of a RingFS cluster while two mounts work on it, and says what the work saw')
  .argument('[scenario...]', `which; all when none is named. ${CHAOS}: a random mixture of them`)
  .option('--list', 'print the scenarios')
  .option('--docker', 'containers')
  .option('--netns', 'processes in network namespaces (the default)')
  .option('--scale <factor>', 'stretches every wait', '1')
  .option('--seed <number>', 'chooses machines, and what chaos does (default: another one each time)')
  .option('--minutes <number>', 'how long chaos lasts', '10')
  .option('--json <file>', 'write the reports there as well')
  .option('--picture <file>', 'draw what was done and what the work saw there, as SVG; of the last scenario')
  .option('--logs <directory>', 'keep what all machines say there')
  .action(async (names: string[], flags: Flags) => {
    process.exitCode = await main(names, flags);
  });
try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`rig: ${messageOf(error)}\n`);
  process.exitCode = 2;
}
