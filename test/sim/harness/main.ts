/** npm run sim -- [--seeds N] [--seed S] [--profile NAME] [--set name=value ...] */
import { availableParallelism } from 'node:os';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { systemRandom } from '../../../src/io/os/system-random.ts';
import { SystemTimers } from '../../../src/io/os/system-timers.ts';
import { findProfile, type Profile } from './profiles.ts';
import { shrink } from './shrink.ts';
import { addCounts, type Counts, type Options, parseSetting } from './simulator.ts';
import type { SimReport } from './worker.ts';
import { WorkerPool } from './worker-pool.ts';

const SEED_LIMIT = 2 ** 32;
/** Those whose options the help lists: one of each simulation. */
const HELP_PROFILES = ['mixed', 'ring', 'blocks', 'formation'];
const HELP_WIDTH = 100;

interface Flags {
  readonly seeds: number;
  readonly seed?: number;
  readonly profile: Profile;
  readonly set: readonly string[];
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

function profile(name: string): Profile {
  try {
    return findProfile(name);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function helpOf(name: string): string {
  const { simulator } = findProfile(name);
  const { description, defaults, profiles } = simulator;
  const options = Object.entries(defaults).map(([option, value]) => `${option}=${value}`);
  return `\nOf ${description}: ${Object.keys(profiles).join(', ')}\n${wrapped(options)}`;
}

function wrapped(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > HELP_WIDTH) lines.push(`  ${word}`);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.join('\n');
}

/** Throws CommanderError. */
function parse(): { readonly flags: Flags; readonly options: Options } {
  const command = new Command('sim')
    .description('Simulates parts of a cluster, with their network, disks and clocks, in virtual time.')
    .option('--seeds <n>', 'how many fresh random seeds to run', wholeNumber(1e9), 100)
    .option('--seed <s>', 'run this seed only', wholeNumber(SEED_LIMIT))
    .addOption(
      new Option('--profile <name>', 'what is simulated, and how; see below')
        .argParser(profile)
        .default(findProfile('mixed'), 'mixed'),
    )
    .addOption(
      new Option('--set <name=value>', 'change an option of the profile; may be repeated')
        .argParser(collect)
        .default([], 'none'),
    )
    .option('--jobs <n>', 'processes', wholeNumber(1025), availableParallelism())
    .option('--trace', 'with --seed: print everything that happens', false)
    .option('--no-shrink', 'do not look for smaller options that fail as well')
    .addHelpText(
      'after',
      `\nProfiles, and the options of the first of each kind:\n${HELP_PROFILES.map(helpOf).join('\n')}`,
    )
    .exitOverride();
  const flags = command.parse().opts<Flags>();
  let options: Options = flags.profile.options;
  for (const text of flags.set) {
    try {
      options = { ...options, ...parseSetting(options, text) };
    } catch (error) {
      command.error((error as Error).message);
    }
  }
  return { flags, options };
}

const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text];

const say = (line: string): void => console.log(line);

/** The command that repeats a run. */
function commandFor(seed: number, { name, options: own }: Profile, options: Options): string {
  const changed = Object.keys(own).filter((key) => own[key] !== options[key]);
  const sets = changed.map((key) => ` --set ${key}=${options[key]}`);
  return `npm run sim -- --seed ${seed} --profile ${name}${sets.join('')}`;
}

async function traced(seed: number, { simulator }: Profile, options: Options): Promise<boolean> {
  const { violation, digest } = await simulator.run(seed, options, { onTrace: say });
  say(`digest ${digest}`);
  if (violation !== undefined) say(violation.message);
  return violation === undefined;
}

class Campaign {
  readonly #pool: WorkerPool;
  readonly #timers: SystemTimers;
  readonly #flags: Flags;
  readonly #options: Options;
  readonly #startedMs: number;
  readonly #counts: Counts = {};
  #seeds = 0;
  #failures = 0;

  constructor(timers: SystemTimers, flags: Flags, options: Options) {
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
    // Once: a second one ends the process at once.
    process.once('SIGINT', () => {
      left = 0;
    });
    if (left > 1)
      process.stderr.write(
        `${left} seeds of profile ${this.#flags.profile.name}; Ctrl-C ends it and tells what was seen\n`,
      );
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
    const report = await this.#pool.run({ seed, profile: this.#flags.profile.name, options: this.#options });
    this.#seeds += 1;
    addCounts(this.#counts, report.counts);
    if (this.#flags.seed !== undefined) say(`digest ${report.digest}`);
    if (report.check !== undefined) await this.#failed(report);
  }

  async #failed({ seed, check, message }: SimReport): Promise<void> {
    this.#failures += 1;
    say(`FAILED seed ${seed} profile ${this.#flags.profile.name}: ${message}`);
    say(`  repeat: ${commandFor(seed, this.#flags.profile, this.#options)}`);
    if (!this.#flags.shrink) return;
    const { name, simulator } = this.#flags.profile;
    const smallest = await shrink(simulator, this.#options, async (options) => {
      return (await this.#pool.run({ seed, profile: name, options })).check === check;
    });
    say(`  smallest: ${commandFor(seed, this.#flags.profile, smallest)}`);
  }

  #totals(): string {
    const counts = this.#counts;
    const wallS = (this.#timers.nowMs() - this.#startedMs) / 1_000;
    const figures: readonly (readonly [string, number])[] = [
      ['seeds', this.#seeds],
      ['failures', this.#failures],
      ...this.#flags.profile.simulator.totals.map(([label, count]) => [label, counts[count] ?? 0] as const),
      ['simulated seconds per second', Math.round((counts['simulatedMs'] ?? 0) / 1_000 / wallS)],
      ['seeds per hour', Math.round((this.#seeds / wallS) * 3_600)],
    ];
    return figures.map(([name, value]) => `${name} ${value}`).join(', ');
  }
}

async function main(): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  const { flags, options } = parsed;
  if (flags.trace && flags.seed !== undefined)
    return (await traced(flags.seed, flags.profile, options)) ? 0 : 1;
  // The timers of the product do not keep a process alive, but its workers do.
  return (await new Campaign(new SystemTimers(), flags, options).run()) ? 0 : 1;
}

process.exitCode = await main();
