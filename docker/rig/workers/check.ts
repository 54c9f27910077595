import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { emit, told } from './emit.ts';
import { readLog, sha256 } from './files.ts';
import { ACCOUNTS, countOf, git, START_BALANCE, sql } from './programs.ts';
import type { Acknowledged } from './protocol.ts';

const wrong = (what: string, detail: string): void => emit({ kind: 'wrong', what, detail });

/** Looks for everything that was acknowledged, which standard input lists. Only what is missing or wrong is told. */
export async function check(directory: string): Promise<void> {
  const acknowledged = JSON.parse(await text(process.stdin)) as Acknowledged;
  await told('check write', () => checkFiles(directory, acknowledged.files));
  await told('check append', () => checkLog(directory, acknowledged.records));
  await told('check git', () => checkCommits(directory, acknowledged.commits));
  await told('check sqlite', () => checkBank(directory, acknowledged.transfers));
  await told('check lock', () => checkCount(directory, acknowledged));
}

async function checkFiles(directory: string, files: readonly (readonly [string, string])[]): Promise<void> {
  for (const [file, hash] of files) {
    const bytes = await readFile(path.join(directory, file)).catch((error: NodeJS.ErrnoException) => error);
    if (bytes instanceof Error)
      wrong('write', `${file} was acknowledged and is ${bytes.code ?? bytes.message}`);
    else if (sha256(bytes) !== hash) wrong('write', `${file} has not the bytes that were acknowledged`);
  }
}

async function checkLog(directory: string, records: readonly string[]): Promise<void> {
  const log = await readLog(directory);
  for (const line of log.torn) wrong('append', `a record is torn: ${line}`);
  for (const key of records)
    if (!log.records.has(key)) wrong('append', `record ${key} was acknowledged and is missing`);
  for (const [key, times] of log.records)
    if (times > 1) wrong('append', `record ${key} is there ${times} times`);
}

async function checkCommits(
  directory: string,
  commits: readonly (readonly [string, string])[],
): Promise<void> {
  for (const repository of new Set(commits.map(([, of]) => of))) {
    const cwd = path.join(directory, repository);
    await git(cwd, 'fsck', '--full', '--strict', '--no-dangling');
    const there = new Set((await git(cwd, 'log', '--all', '--reflog', '--format=%H')).split('\n'));
    for (const [hash, of] of commits) {
      if (of === repository && !there.has(hash))
        wrong('git', `commit ${hash} was acknowledged and is missing`);
    }
  }
}

async function checkBank(directory: string, transfers: readonly string[]): Promise<void> {
  const database = path.join(directory, 'bank.db');
  const integrity = await sql(database, 'PRAGMA integrity_check');
  if (integrity !== 'ok') wrong('sqlite', integrity.slice(0, 300));
  const sum = await sql(database, 'SELECT sum(balance) FROM account');
  if (Number(sum) !== ACCOUNTS * START_BALANCE) wrong('sqlite', `the accounts have ${sum} together`);
  const there = new Set((await sql(database, "SELECT name || ' ' || n FROM transfer")).split('\n'));
  for (const key of transfers)
    if (!there.has(key)) wrong('sqlite', `transfer ${key} was acknowledged and is missing`);
}

async function checkCount(directory: string, { counted, maybeCounted }: Acknowledged): Promise<void> {
  const count = await countOf(directory);
  if (count < counted || count > counted + maybeCounted) {
    wrong('lock', `the counter is ${count}, after ${counted} to ${counted + maybeCounted} increments`);
  }
}
