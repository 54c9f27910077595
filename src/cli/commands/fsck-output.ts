import { once } from 'node:events';
import type { DamagedFile, DamagedRange } from '../../fsck/damage.ts';
import type { FsckProgress, FsckResult } from '../../fsck/fsck.ts';
import { ProgressBar } from '../progress-bar.ts';
import { bytes } from './status.ts';

export interface FsckReport {
  readonly clusterId: string;
  /** Of the commit as of which the metadata were read. */
  readonly index: number;
  readonly replicas: number;
  readonly verify: boolean;
  readonly repair: boolean;
  /** Names of block nodes by address. */
  readonly names: ReadonlyMap<string, string>;
  readonly result: FsckResult;
}

/** As fsck(8) has them; called wrongly is 2, as for every command of ringfs. */
export const FSCK_STATUS = { repaired: 1, damaged: 4, notChecked: 8 } as const;

/** What `ringfs fsck` tells: files as they come, since there may be any number of them, and then the sums. */
export class FsckOutput {
  readonly #json: boolean;
  readonly #bar: ProgressBar;

  constructor({ json }: { readonly json: boolean }) {
    this.#json = json;
    this.#bar = new ProgressBar({ quiet: false, lines: false });
  }

  progress({ phase, done, total, bytes: read }: FsckProgress): void {
    const size = read > 0 ? `, ${bytes(read)}` : '';
    this.#bar.show(done, total, total > 0 ? `${phase}: ${done} of ${total} blocks${size}` : phase);
  }

  endProgress(): void {
    this.#bar.end();
  }

  async report(report: FsckReport, files: AsyncIterable<DamagedFile>): Promise<void> {
    this.endProgress();
    if (this.#json) await reportJson(report, files);
    else await reportText(report, files);
  }
}

async function out(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

async function reportJson(report: FsckReport, files: AsyncIterable<DamagedFile>): Promise<void> {
  const { clusterId, index, replicas, verify, repair, names, result } = report;
  await out('{\n"damagedFiles": [');
  let first = true;
  for await (const { ino, path, ranges } of files) {
    const named = ranges.map(({ copies, ...range }) => ({
      ...range,
      copies: copies.map(({ address, state, owner }) => ({
        node: names.get(address) ?? address,
        state,
        owner,
      })),
    }));
    await out(`${first ? '' : ','}\n${JSON.stringify({ ino, path: path ?? null, ranges: named })}`);
    first = false;
  }
  const nodes = [...result.nodes].map(([address, sums]) => ({
    id: names.get(address) ?? address,
    address,
    ...sums,
  }));
  const rest = {
    clusterId,
    index,
    mode: verify ? 'full' : 'fast',
    repair,
    replicas,
    ringTooSmall: tooSmall(report),
    status: outcomeOf(report)?.status ?? 0,
    blocks: result.sums,
    nodes,
    namespace: result.namespace,
    findingCount: result.findingCount,
    findings: result.findings,
  };
  await out(`\n],\n${JSON.stringify(rest, null, 2).slice(2)}\n`);
}

async function reportText(report: FsckReport, files: AsyncIterable<DamagedFile>): Promise<void> {
  const { result, names, index, verify } = report;
  for (const { check, detail, ino } of result.findings)
    await out(`metadata: ${check}:${ino === undefined ? '' : ` inode ${ino}:`} ${detail}\n`);
  const untold = result.findingCount - result.findings.length;
  if (untold > 0) await out(`metadata: ... and ${untold} more\n`);
  for await (const { ino, path, ranges } of files) {
    for (const range of ranges)
      await out(`${path ?? `<unlinked inode ${ino}>`}: ${rangeText(range, names)}\n`);
  }
  if (tooSmall(report))
    await out(
      `the ring has ${result.ownersMax} nodes, and ${report.replicas} copies of each block are to be kept\n`,
    );
  for (const [address, sums] of result.nodes) {
    if (sums.missing + sums.corrupt + sums.unreachable === 0) continue;
    const { good, missing, corrupt, unreachable } = sums;
    const silent = unreachable > 0 ? `, no answer for ${unreachable}` : '';
    await out(
      `node ${names.get(address) ?? address}: of its copies ${good} are good, ${missing} missing, ${corrupt} corrupt${silent}\n`,
    );
  }
  const { blocks, bytes: size, good, repaired, degraded, unavailable, lost } = result.sums;
  await out(
    `as of index ${index}: ${result.namespace.inodes} inodes, ${blocks} blocks (${bytes(size)}) ${verify ? 'read and hashed' : 'asked for'}: ` +
      `${good} good, ${repaired} repaired, ${degraded} with too few good copies, ${unavailable} unavailable, ${lost} lost\n`,
  );
}

function rangeText(
  { offset, length, block, verdict, copies }: DamagedRange,
  names: ReadonlyMap<string, string>,
): string {
  const bad = copies
    .filter((copy) => copy.state !== 'good')
    .map(({ address, state }) => `${names.get(address) ?? address} ${state}`)
    .join(', ');
  return `bytes ${offset} to ${offset + length - 1} ${verdict} (block ${block}: ${bad})`;
}

function tooSmall({ result, replicas }: FsckReport): boolean {
  return result.sums.blocks > 0 && result.ownersMax < replicas;
}

/** What the command ends with; undefined when nothing is wrong. */
export function outcomeOf(
  report: FsckReport,
): { readonly message: string; readonly hint?: string; readonly status: number } | undefined {
  const { sums, findingCount } = report.result;
  const { repaired, degraded, unavailable, lost } = sums;
  const left = degraded + unavailable + lost;
  if (findingCount > 0) {
    const hint = 'do not repair metadata by hand: restore a dump, or take the data of a good server';
    return { message: `${findingCount} contradictions in the metadata`, hint, status: FSCK_STATUS.damaged };
  }
  if (left > 0) {
    const hint = hintOf(report);
    return { message: `${left} damaged blocks are left`, hint, status: FSCK_STATUS.damaged };
  }
  if (tooSmall(report)) {
    const hint = 'start more servers, or those that are down';
    return { message: 'the ring has fewer nodes than copies', hint, status: FSCK_STATUS.damaged };
  }
  if (repaired === 0) return undefined;
  return { message: `${repaired} blocks were damaged; all are repaired`, status: FSCK_STATUS.repaired };
}

function hintOf({ repair, result }: FsckReport): string {
  const { degraded, unavailable, lost } = result.sums;
  if (!repair && degraded > 0) return 'repair what another node has a good copy of: ringfs fsck --repair';
  if (unavailable > 0) return 'some nodes did not answer: start them, see: ringfs status';
  if (lost > 0) return 'no node has a good copy of what is lost: restore these files from a backup';
  return 'some nodes cannot take or give copies: see ringfs status, and the logs of the servers';
}
