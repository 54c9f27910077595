import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { processState } from '../../mount/serving-process.ts';
import type { ReadableVersions } from '../base/format-version.ts';
import { CliError } from './cli-error.ts';
import { isRingfsProcess } from './processes.ts';
import { refuseVersion } from './versions.ts';

/** What `ringfs up` keeps in its data directory: the cluster it made, and the processes that run now. */

const FORMAT = 1;
const VERSIONS: ReadableVersions = { oldest: 1, newest: FORMAT };

const clusterSchema = z.strictObject({
  format: z.number(),
  clusterId: z.string(),
  replicas: z.number().int().positive(),
  servers: z.array(z.strictObject({ id: z.string(), address: z.string() })).nonempty(),
});
export type ClusterFile = z.infer<typeof clusterSchema>;

const runSchema = z.strictObject({
  pid: z.number().int().positive(),
  mount: z.string(),
  mountPid: z.number().int().nonnegative(),
  gatewayPid: z.number().int().nonnegative().optional(),
  driver: z.string(),
  servers: z.array(
    z.strictObject({ id: z.string(), address: z.string(), pid: z.number().int().nonnegative() }),
  ),
  /** When each process started, by its id: see ProcessState. Empty where the system does not tell. */
  startTicks: z.record(z.string(), z.number()),
});
export type RunFile = z.infer<typeof runSchema>;

const clusterPath = (data: string): string => path.join(data, 'cluster.json');
const runPath = (data: string): string => path.join(data, 'run.json');

const ADVICE = 'restore it from a backup, or use another --data directory';

function readJson<T>(file: string, schema: z.ZodType<T>, advice = ADVICE): T | undefined {
  if (!existsSync(file)) return undefined;
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CliError(`${file} is damaged: ${(error as Error).message}`, advice);
  }
  refuseVersion(file, raw, VERSIONS);
  const parsed = schema.safeParse(raw);
  if (!parsed.success) throw new CliError(`${file} is damaged: ${z.prettifyError(parsed.error)}`, advice);
  return parsed.data;
}

function writeJson(file: string, value: unknown): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { flush: true });
  renameSync(temporary, file);
}

export const readCluster = (data: string): ClusterFile | undefined =>
  readJson(clusterPath(data), clusterSchema);
export const writeCluster = (data: string, cluster: Omit<ClusterFile, 'format'>): void =>
  writeJson(clusterPath(data), { format: FORMAT, ...cluster });
export const readRun = (data: string): RunFile | undefined =>
  readJson(runPath(data), runSchema, 'delete it when none of its processes runs any more');
export function writeRun(data: string, run: Omit<RunFile, 'startTicks'>): void {
  const startTicks: Record<string, number> = {};
  for (const pid of pidsOf(run)) {
    const ticks = processState(pid)?.startTicks;
    if (ticks !== undefined) startTicks[pid] = ticks;
  }
  writeJson(runPath(data), { ...run, startTicks });
}
export const removeRun = (data: string): void => rmSync(runPath(data), { force: true });

function pidsOf(run: Omit<RunFile, 'startTicks'>): readonly number[] {
  const { pid, mountPid, gatewayPid = 0, servers } = run;
  return [pid, mountPid, gatewayPid, ...servers.map((server) => server.pid)].filter((id) => id > 0);
}

/** The recorded processes that still run: supervisor, mount, gateway, servers. */
export function runningProcesses(run: RunFile): readonly number[] {
  return pidsOf(run).filter((pid) => isRingfsProcess(pid, run.startTicks[pid]));
}

/** The servers of the cluster that `ringfs up` keeps in `data`: those that run, else those it made. Throws CliError with `hint`. */
export function serversIn(
  data: string,
  hint: string,
): readonly { readonly id: string; readonly address: string }[] {
  const dir = path.resolve(data);
  const servers = readRun(dir)?.servers ?? readCluster(dir)?.servers;
  if (servers === undefined) throw new CliError(`there is no cluster in ${dir}`, hint);
  return servers;
}
