import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { execute } from './posix-case.ts';

/**
 * Three processes transfer money in one SQLite database and are killed in the middle of it: hot journals are rolled back, locks
 * of dead processes are gone, and every transfer that a process had reported is there. test/posix/programs/sqlite.sh does the
 * same while servers and mounts die.
 */

const WRITERS = 3;
const ACCOUNTS = 20;
const TRANSFERS_MAX = 2_000;
/** Reported by each before it is killed. */
const REPORTED_MIN = 5;

async function sql(dir: string, statements: string): Promise<string> {
  const { code, stdout, stderr } = await execute('sqlite3', ['-bail', 'bank.db'], {
    cwd: dir,
    input: `.timeout 60000\n${statements}`,
  });
  assert.equal(code, 0, `sqlite3 failed: ${stderr}`);
  return stdout.trim();
}

function transfer(writer: number, n: number): string {
  return `BEGIN IMMEDIATE;
    UPDATE account SET balance = balance - ${n} WHERE id = ${(n * 7 + writer) % ACCOUNTS};
    UPDATE account SET balance = balance + ${n} WHERE id = ${(n * 13) % ACCOUNTS};
    INSERT INTO transfer VALUES (${writer}, ${n}, randomblob(${(n * 977) % 9000}));
    COMMIT;
    SELECT ${n};\n`;
}

/** Resolves with the last transfer that the writer reported before it was killed. */
async function killedWriter(dir: string, writer: number, journal: 'delete' | 'wal'): Promise<number> {
  const child = spawn('sqlite3', ['-bail', 'bank.db'], { cwd: dir, stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  child.stdin.on('error', () => {}); // it is killed before it has read everything
  const transfers = Array.from({ length: TRANSFERS_MAX }, (_, i) => transfer(writer, i + 1)).join('');
  child.stdin.end(`.timeout 60000\nPRAGMA journal_mode=${journal};\n${transfers}`);
  let last = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!/^\d+$/.test(line)) continue; // the answer to the pragma
    last = Number(line);
    if (last === REPORTED_MIN) child.kill('SIGKILL'); // what it reports until it is dead counts too
  }
  await closed;
  assert.equal(complaints, '');
  assert.equal(child.signalCode, 'SIGKILL');
  return last;
}

export async function killSqliteWriters(dir: string, journal: 'delete' | 'wal'): Promise<void> {
  await sql(
    dir,
    `PRAGMA journal_mode=${journal};
    CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE transfer (writer INTEGER, n INTEGER, ballast BLOB, PRIMARY KEY (writer, n));
    WITH RECURSIVE ids(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < ${ACCOUNTS - 1})
    INSERT INTO account SELECT id, 0 FROM ids;`,
  );
  const reported = await Promise.all(
    Array.from({ length: WRITERS }, (_, writer) => killedWriter(dir, writer, journal)),
  );
  assert.equal(await sql(dir, 'PRAGMA integrity_check;'), 'ok');
  assert.equal(await sql(dir, 'SELECT sum(balance), count(*) FROM account;'), `0|${ACCOUNTS}`);
  for (const [writer, last] of reported.entries()) {
    assert.ok(last >= REPORTED_MIN);
    const there = `SELECT count(*) FROM transfer WHERE writer = ${writer} AND n <= ${last};`;
    assert.equal(await sql(dir, there), `${last}`, `transfers of writer ${writer}`);
  }
}
