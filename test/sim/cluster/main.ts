/** npm run sim -- [--seeds N] [--seed S] [--profile NAME] [--set name=value ...]: simulates the metadata path. */
import { availableParallelism } from 'node:os';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { systemRandom } from '../../../src/io/os/system-random.ts';
import { SystemTimers } from '../../../src/io/os/system-timers.ts';
import {
  addCounts,
  DEFAULTS,
  noCounts,
  type OptionName,
  PROFILE_NAMES,
  parseSetting,
  profileOptions,
  type SimOptions,
} from './options.ts';
import { shrink } from './shrink.ts';
import { runSimulation } from './simulation.ts';
import type { SimReport } from './worker.ts';
import { WorkerPool } from './worker-pool.ts';

const SEED_LIMIT = 2 ** 32;

interface Flags {
  readonly seeds: number;
  readonly seed?: number;
  readonly profile: string;
  readonly set: Partial<SimOptions>;
  readonly jobs: number;
  readonly trace: boolean;
  readonly shrink: boolean;
}

function wholeNumber(limit: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value >= limit) {
      throw new InvalidArgumentError(`a whole number below ${limit} is expected.`);
    }
    return value;
  };
}

function setting(text: string, before: Partial<SimOptions>): Partial<SimOptions> {
  try {
    return { ...before, ...parseSetting(text) };
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function profile(name: string): string {
  if (PROFILE_NAMES.includes(name)) return name;
  throw new InvalidArgumentError(`there are: ${PROFILE_NAMES.join(', ')}.`);
}

function parse(): Flags {
  const command = new Command('sim')
    .description(
      'Simulates servers, clients, network, disks and clocks of the metadata path in virtual time.',
    )
    .option('--seeds <n>', 'how many fresh random seeds to run', wholeNumber(1e9), 100)
    .option('--seed <s>', 'run this seed only', wholeNumber(SEED_LIMIT))
    .option('--profile <name>', PROFILE_NAMES.join(', '), profile, 'mixed')
    .option('--set <name=value>', 'change an option of the profile; may be repeated', setting, {})
    .option('--jobs <n>', 'processes', wholeNumber(1025), availableParallelism())
    .option('--trace', 'with --seed: print everything that happens', false)
    .option('--no-shrink', 'do not look for smaller options that fail as well')
    .addHelpText('after', `\nOptions of profiles, as in mixed:\n${JSON.stringify(DEFAULTS, undefined, 2)}`)
    .exitOverride();
  return command.parse().opts<Flags>();
}

const say = (line: string): void => console.log(line);

/** The command that repeats a run. */
function commandFor(seed: number, { profile: name }: Flags, options: SimOptions): string {
  const own = profileOptions(name);
  const changed = (Object.keys(own) as OptionName[]).filter((key) => own[key] !== options[key]);
  const sets = changed.map((key) => ` --set ${key}=${options[key]}`);
  return `npm run sim -- --seed ${seed} --profile ${name}${sets.join('')}`;
}

async function traced(seed: number, options: SimOptions): Promise<boolean> {
  const { violation, digest } = await runSimulation(seed, options, { onTrace: say });
  say(`digest ${digest}`);
  if (violation !== undefined) say(violation.message);
  return violation === undefined;
}

class Campaign {
  readonly #pool: WorkerPool;
  readonly #timers: SystemTimers;
  readonly #flags: Flags;
  readonly #options: SimOptions;
  readonly #startedMs: number;
  readonly #counts = noCounts();
  #seeds = 0;
  #failures = 0;

  constructor(timers: SystemTimers, flags: Flags, options: SimOptions) {
    this.#timers = timers;
    this.#pool = new WorkerPool({ timers });
    this.#flags = flags;
    this.#options = options;
    this.#startedMs = timers.nowMs();
  }

  /** Whether nothing was found. */
  async run(): Promise<boolean> {
    const { seed, seeds } = this.#flags;
    let left = seed === undefined ? seeds : 1;
    const worker = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await this.#one(seed ?? systemRandom.below(SEED_LIMIT));
      }
    };
    const jobs = Math.max(1, Math.min(this.#flags.jobs, left));
    await Promise.all(Array.from({ length: jobs }, worker));
    this.#pool.close();
    say(this.#totals());
    return this.#failures === 0;
  }

  async #one(seed: number): Promise<void> {
    const report = await this.#pool.run({ seed, options: this.#options });
    this.#seeds += 1;
    addCounts(this.#counts, report.counts);
    if (this.#flags.seed !== undefined) say(`digest ${report.digest}`);
    if (report.check !== undefined) await this.#failed(report);
  }

  async #failed({ seed, check, message }: SimReport): Promise<void> {
    this.#failures += 1;
    say(`FAILED seed ${seed} profile ${this.#flags.profile}: ${message}`);
    say(`  repeat: ${commandFor(seed, this.#flags, this.#options)}`);
    if (!this.#flags.shrink) return;
    const smallest = await shrink(this.#options, async (options) => {
      return (await this.#pool.run({ seed, options })).check === check;
    });
    say(`  smallest: ${commandFor(seed, this.#flags, smallest)}`);
  }

  #totals(): string {
    const counts = this.#counts;
    const wallS = (this.#timers.nowMs() - this.#startedMs) / 1_000;
    const figures: readonly (readonly [string, number])[] = [
      ['seeds', this.#seeds],
      ['failures', this.#failures],
      ['elections', counts.elections],
      ['crashes', counts.crashes],
      ['partitions', counts.partitions],
      ['snapshots', counts.snapshots],
      ['membership changes', counts.memberChanges],
      ['leader transfers', counts.transfers],
      ['operations', counts.operations],
      ['unknown outcomes', counts.unknownOutcomes],
      ['unknown verdicts', counts.undecided],
      ['simulated seconds per second', Math.round(counts.simulatedMs / 1_000 / wallS)],
      ['seeds per hour', Math.round((this.#seeds / wallS) * 3_600)],
    ];
    return figures.map(([name, value]) => `${name} ${value}`).join(', ');
  }
}

async function main(): Promise<number> {
  let flags: Flags;
  try {
    flags = parse();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  const options = profileOptions(flags.profile, flags.set);
  if (flags.trace && flags.seed !== undefined) return (await traced(flags.seed, options)) ? 0 : 1;
  // The timers of the product do not keep a process alive, but its workers do.
  return (await new Campaign(new SystemTimers(), flags, options).run()) ? 0 : 1;
}

process.exitCode = await main();
