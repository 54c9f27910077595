import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parse as parseYaml } from 'yaml';
import { CliError, usageError } from './cli-error.ts';

/** One setting of a command: a flag, a RINGFS_* variable and a key of the config file, all of the same name. */
export interface Setting<T> {
  /** kebab-case, without dashes in front. */
  readonly name: string;
  readonly value: string;
  readonly description: string;
  readonly parse: (text: string, what: string) => T;
  readonly fallback?: T;
}

type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T>
    ? S[K] extends { fallback: T }
      ? T
      : T | undefined
    : never;
};

export function addFlags(command: Command, settings: Settings): Command {
  for (const setting of Object.values(settings)) {
    const fallback = setting.fallback === undefined ? '' : ` (default: ${String(setting.fallback)})`;
    command.option(`--${setting.name} ${setting.value}`, `${setting.description}${fallback}`);
  }
  return command.option(
    '--config <file>',
    'YAML or JSON file with the same settings (flags and variables win)',
  );
}

export const variableOf = (name: string): string => `RINGFS_${name.toUpperCase().replaceAll('-', '_')}`;
const camel = (name: string): string =>
  name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Flag, else variable, else config file, else the default. */
export function resolveSettings<S extends Settings>(
  settings: S,
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): Values<S> {
  const configPath = typeof flags['config'] === 'string' ? flags['config'] : env['RINGFS_CONFIG'];
  const config = configPath === undefined ? new Map<string, string>() : readConfig(configPath, settings);
  const out: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const flag = flags[camel(setting.name)];
    const variable = env[variableOf(setting.name)];
    const inFile = config.get(setting.name);
    if (typeof flag === 'string') out[key] = setting.parse(flag, `--${setting.name}`);
    else if (variable !== undefined) out[key] = setting.parse(variable, variableOf(setting.name));
    else if (inFile !== undefined) out[key] = setting.parse(inFile, `${configPath}: ${setting.name}`);
    else out[key] = setting.fallback;
  }
  return out as Values<S>;
}

function readConfig(path: string, settings: Settings): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new CliError(
      `cannot read the config file ${path}: ${(error as Error).message}`,
      'check the path and the YAML syntax',
    );
  }
  if (parsed === null || parsed === undefined) return new Map();
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw usageError(`${path}: expected settings as 'name: value' lines`);
  const known = Object.values(settings).map((setting) => setting.name);
  const out = new Map<string, string>();
  for (const [key, value] of Object.entries(parsed)) {
    if (!known.includes(key)) throw usageError(`${path}: unknown key '${key}'`, suggestion(key, known));
    out.set(key, configText(value, `${path}: ${key}`));
  }
  return out;
}

/** Lists and maps become the text that the flag would have. */
function configText(value: unknown, what: string): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return String(value);
  if (Array.isArray(value)) return value.map((item) => configText(item, what)).join(',');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([key, item]) => `${key}=${configText(item, what)}`)
      .join(',');
  }
  throw usageError(`${what}: has no value`);
}

function suggestion(key: string, known: readonly string[]): string {
  const near = known.find((name) => name.startsWith(key.slice(0, 3)) || distance(name, key) <= 2);
  return near === undefined ? `known keys: ${known.join(', ')}` : `did you mean '${near}'?`;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
