import type { Violation } from './world.ts';

/** What a run can be told: numbers with names for the command line. */
export type Options = Readonly<Record<string, number>>;
/** What happened in a run, by name. */
export type Counts = Record<string, number>;

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly counts: Counts;
  /** Equal for equal seeds and options. */
  readonly digest: string;
}

/** One kind of simulation, as `npm run sim` runs it. */
export interface Simulator {
  readonly description: string;
  readonly defaults: Options;
  /** By name, what differs from the defaults. */
  readonly profiles: Readonly<Record<string, Options>>;
  /** Options that break things: the first that a failing run is tried without. */
  readonly faults: readonly string[];
  /** Sizes to try then, smallest first. */
  readonly sizes: readonly (readonly [option: string, values: readonly number[]])[];
  /** Counts for the line of totals. */
  readonly totals: readonly (readonly [label: string, count: string])[];
  run(
    seed: number,
    options: Options,
    more: { readonly onTrace?: (line: string) => void },
  ): Promise<RunResult>;
}

/** `name=value`. Throws RangeError with a message for a person. */
export function parseSetting(defaults: Options, text: string): Options {
  const [name = '', value = ''] = text.split('=');
  if (!Object.hasOwn(defaults, name)) {
    throw new RangeError(`there is no option ${name}; there are: ${Object.keys(defaults).join(', ')}`);
  }
  const number = Number(value);
  if (value.trim() === '' || !Number.isFinite(number) || number < 0) {
    throw new RangeError(`${name} is a number of at least 0, not ${value === '' ? 'nothing' : value}`);
  }
  return { [name]: number };
}

export function addCounts(total: Counts, counts: Counts): void {
  for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
}
