import { tmpdir } from 'node:os';
import { FINDINGS_TOLD_MAX } from '../../base/limits.ts';
import { checkNamespace, type NamespaceSums } from '../../core/namespace/check/check-namespace.ts';
import type { Finding, OnFinding } from '../../core/namespace/check/finding.ts';
import type { Scratch } from '../../core/namespace/check/scratch.ts';
import { hashText } from '../../core/namespace/row-hash.ts';
import { checkLog, type LogSummary } from '../../meta/maintenance/check-log.ts';
import { copyRows, readDumpHeader } from '../../meta/maintenance/load-dump.ts';
import { StateStore } from '../../meta/raft/state-store.ts';
import { CliError, usageError } from '../cli-error.ts';
import { readDumpFile } from './dump-file.ts';
import { openStoppedServer, withAdvice } from './meta-data.ts';
import { withKv, withScratch } from './scratch.ts';

export interface CheckFlags {
  readonly data?: string;
  readonly dump?: string;
  readonly scratch?: string;
  readonly json?: boolean;
}

interface Report {
  readonly what: string;
  readonly index: number;
  readonly namespace: NamespaceSums | undefined;
  readonly log: LogSummary | undefined;
}

/** Walks the metadata of a stopped server, or of a dump. Throws CliError, also when something is wrong with it. */
export async function runMetaCheck(flags: CheckFlags): Promise<void> {
  if ((flags.data === undefined) === (flags.dump === undefined)) {
    throw usageError(
      'name either --data DIR or --dump FILE',
      'ringfs meta check --help shows how it is used',
    );
  }
  const told: Finding[] = [];
  let count = 0;
  const onFinding: OnFinding = (finding) => {
    if (count++ < FINDINGS_TOLD_MAX) told.push(finding);
  };
  const report = await withAdvice(() =>
    withScratch(flags.scratch ?? tmpdir(), (folder) =>
      flags.dump === undefined
        ? checkServer(flags.data ?? '', folder, onFinding)
        : checkDump(flags.dump, folder, onFinding),
    ),
  );
  print(report, told, count, flags.json === true);
  if (count > 0) {
    throw new CliError(
      `${count} findings in ${report.what}`,
      'do not repair by hand: restore a dump, or take the data of a good server',
    );
  }
}

async function checkServer(data: string, scratch: string, onFinding: OnFinding): Promise<Report> {
  const { storage, identity } = await openStoppedServer(data);
  const state = await StateStore.openExisting(storage);
  let log: LogSummary;
  try {
    const kv = await storage.openLog();
    try {
      // A snapshot that was installed just before a crash is ahead of the log; the next start finishes that.
      const ahead = state !== undefined && state.installed?.index === state.applied.index;
      log = await checkLog(kv, ahead ? undefined : state?.applied, onFinding);
    } finally {
      await kv.close();
    }
    const { identity: inLog } = log;
    if (
      inLog !== undefined &&
      (inLog.clusterId !== identity.clusterId || inLog.serverId !== identity.serverId)
    ) {
      const detail = `ringfs.json says server ${identity.serverId} of ${identity.clusterId}, the log ${inLog.serverId} of ${inLog.clusterId}`;
      onFinding({ check: 'log-identity', detail });
    }
    if (state === undefined) {
      onFinding({ check: 'no-state', detail: 'CURRENT does not name a state that is there' });
      return { what: storage.location, index: 0, namespace: undefined, log };
    }
    const namespace = await withKv(scratch, 'sort', (sort) => checkNamespace(state.view, sort, onFinding));
    await checkHash(state, onFinding);
    return { what: storage.location, index: state.applied.index, namespace, log };
  } finally {
    await state?.close();
  }
}

/** What the server itself compares while it runs. */
async function checkHash(state: StateStore, onFinding: OnFinding): Promise<void> {
  if (state.condemned !== undefined) onFinding({ check: 'condemned', detail: state.condemned });
  const { read, kept } = await state.hashRows(async () => undefined);
  if (kept === undefined || read === kept) return;
  const detail = `the rows have the hash ${hashText(read)}, and ${hashText(kept)} was kept for them as they were written`;
  onFinding({ check: 'state-hash', detail });
}

async function checkDump(file: string, scratch: string, onFinding: OnFinding): Promise<Report> {
  const parts = readDumpFile(file);
  try {
    const header = await readDumpHeader(parts);
    return await withKv(scratch, 'rows', async (rows) => {
      await copyRows(parts, rows);
      const namespace = await withKv(scratch, 'sort', (sort: Scratch) =>
        checkNamespace(rows, sort, onFinding),
      );
      return { what: file, index: header.meta?.index ?? 0, namespace, log: undefined };
    });
  } finally {
    await parts.return?.();
  }
}

function print(
  { what, index, namespace, log }: Report,
  told: readonly Finding[],
  count: number,
  json: boolean,
): void {
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ checked: what, index, findingCount: count, findings: told, namespace, log }, null, 2)}\n`,
    );
    return;
  }
  for (const { check, detail, ino, session, block } of told) {
    const where = [
      ino === undefined ? '' : ` inode ${ino}`,
      session === undefined ? '' : ` session ${session}`,
      block === undefined ? '' : ` block ${block}`,
    ].join('');
    process.stdout.write(`${check}:${where}${where === '' ? '' : ':'} ${detail}\n`);
  }
  if (count > told.length) process.stdout.write(`... and ${count - told.length} more\n`);
  if (namespace !== undefined) {
    const { inodes, directories, entries, orphans, blocks, sessions, unknownTables } = namespace;
    process.stdout.write(
      `${what} as of index ${index}: ${inodes} inodes, ${directories} of them directories, ${entries} entries, ` +
        `${orphans} orphans, ${blocks} blocks, ${sessions} sessions\n`,
    );
    if (unknownTables.length > 0) {
      const names = unknownTables.map((table) => table.toString(16)).join(', ');
      process.stdout.write(`not checked, since this version does not know them: tables ${names}\n`);
    }
  }
  if (log !== undefined) {
    const { start, last, hardState } = log;
    process.stdout.write(
      `log: entries ${start + 1} to ${last}, committed ${hardState?.commit ?? 0}, term ${hardState?.term ?? 0}\n`,
    );
  }
  if (count === 0) process.stdout.write('nothing is wrong with it\n');
}
