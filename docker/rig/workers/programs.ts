import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { emit, type Inbox, told } from './emit.ts';

const PAUSE_MS = 50;
const run = promisify(execFile);

const GIT_ENV = {
  ...process.env,
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
};

export async function git(cwd: string, ...args: readonly string[]): Promise<string> {
  return (
    await run('git', ['-c', 'core.fsync=all', '-c', 'gc.auto=0', ...args], { cwd, env: GIT_ENV })
  ).stdout.trim();
}

/** Commit after commit to a repository of its own. */
export async function committer(directory: string, name: string, inbox: Inbox): Promise<void> {
  const repository = path.join(directory, `git-${name}`);
  await told('git', async () => {
    await mkdir(repository);
    await git(repository, 'init', '-q');
  });
  for (let n = 0; !inbox.ended; n++) {
    const hash = await told('git', async () => {
      await writeFile(path.join(repository, `file-${n % 20}`), `${name} ${n}\n`.repeat(1 + (n % 50)));
      await git(repository, 'add', '-A');
      await git(repository, 'commit', '-q', '--allow-empty', '-m', `commit ${n}`);
      return git(repository, 'rev-parse', 'HEAD');
    });
    if (hash !== undefined) emit({ kind: 'acknowledged', key: hash, value: path.basename(repository) });
    // What a git that was cut short leaves, and asks its user to remove.
    else await rm(path.join(repository, '.git/index.lock'), { force: true }).catch(() => undefined);
    await sleep(PAUSE_MS);
  }
}

export const ACCOUNTS = 20;
export const START_BALANCE = 1000;

export async function sql(database: string, statement: string): Promise<string> {
  return (await run('sqlite3', ['-bail', '-cmd', '.timeout 120000', database, statement])).stdout.trim();
}

/** Transfers between the accounts of one database that all bankers share. */
export async function banker(directory: string, name: string, inbox: Inbox): Promise<void> {
  const database = path.join(directory, 'bank.db');
  for (let n = 1; !inbox.ended; n++) {
    const [from, to] = [n % ACCOUNTS, (n * 7 + 3) % ACCOUNTS];
    const moved = await told('sqlite', async () => {
      await sql(
        database,
        `BEGIN IMMEDIATE; UPDATE account SET balance = balance - ${n} WHERE id = ${from};
         UPDATE account SET balance = balance + ${n} WHERE id = ${to};
         INSERT INTO transfer VALUES ('${name}', ${n}); COMMIT;`,
      );
      return true;
    });
    if (moved === true) emit({ kind: 'acknowledged', key: `${name} ${n}`, value: '' });
    await sleep(PAUSE_MS);
  }
}

export async function openBank(directory: string): Promise<void> {
  const accounts = Array.from({ length: ACCOUNTS }, (_, id) => `(${id}, ${START_BALANCE})`);
  await sql(
    path.join(directory, 'bank.db'),
    `CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER); CREATE TABLE transfer (name TEXT, n INTEGER);
     INSERT INTO account VALUES ${accounts.join()};`,
  );
}

/** Reads a number under an exclusive flock, adds one and writes it back. */
const COUNT = `n=$(cat counter) && echo $((n + 1)) > counter.new && sync counter.new && mv counter.new counter`;

/** Counts in a file that all counters share, excluding each other with flock(2). */
export async function counter(directory: string, _name: string, inbox: Inbox): Promise<void> {
  while (!inbox.ended) {
    const counted = await told('lock', async () => {
      await run('flock', ['-w', '120', 'counter.lock', 'sh', '-c', COUNT], { cwd: directory });
      return true;
    });
    if (counted === true) emit({ kind: 'acknowledged', key: 'count', value: '' });
    await sleep(PAUSE_MS);
  }
}

export async function countOf(directory: string): Promise<number> {
  return Number(await readFile(path.join(directory, 'counter'), 'utf8'));
}

export async function startCount(directory: string): Promise<void> {
  await writeFile(path.join(directory, 'counter'), '0\n');
}
