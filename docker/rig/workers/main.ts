/**
 * One worker of the workload that checks a cluster while its machines fail:
 *
 *     node dist/docker/rig/workers/main.js KIND MOUNT NAME
 *
 * It works until its standard input ends, and tells what it did in lines of JSON (protocol.ts).
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { check } from './check.ts';
import { emit, Inbox } from './emit.ts';
import { appender, reader, writer } from './files.ts';
import { names } from './names.ts';
import { banker, committer, counter, openBank, startCount } from './programs.ts';

type Worker = (directory: string, name: string, inbox: Inbox) => Promise<void>;

/** Until they are told to end. */
const WORKERS: Readonly<Record<string, Worker>> = {
  writer,
  reader,
  appender,
  names,
  committer,
  banker,
  counter,
};

/** Before and after the work. */
const TASKS: Readonly<Record<string, (directory: string) => Promise<void>>> = {
  prepare: async (directory) => {
    await mkdir(directory);
    await startCount(directory);
    await openBank(directory);
  },
  check,
};

const [kind = '', mount = '', name = ''] = process.argv.slice(2);
// One level down: while nothing is mounted there, nobody finds it, and nothing is written into the bare directory.
const directory = path.join(mount, 'work');
const [worker, task] = [WORKERS[kind], TASKS[kind]];
if ((worker ?? task) === undefined || mount === '') {
  process.stderr.write(
    `usage: main.js ${[...Object.keys(WORKERS), ...Object.keys(TASKS)].join('|')} MOUNT NAME\n`,
  );
  process.exit(2);
}
try {
  await task?.(directory);
  await worker?.(directory, name, new Inbox());
  process.exit(0);
} catch (error) {
  emit({ kind: 'failed', what: kind, ms: 0, error: String(error) });
  process.exit(1);
}
