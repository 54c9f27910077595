/**
 * A metadata server with many files: how much memory it takes, and how long a restart takes after kill -9 until it answers. The files are
 * made by commits of 500, in directories of 1,000. Printed as JSON.
 *
 *   node dist/test/bench/million.js [--files 1000000] [--base-port 33200] [--directory DIR]
 */
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ROOT_INO } from '../../src/base/ids.ts';
import { fetchServerStatus } from '../../src/io/grpc/admin-client.ts';
import { bytes, mkdir, mkfile } from '../support/namespace-ops.ts';
import { BenchServers, rounded } from './bench-servers.ts';

const FILES_PER_COMMIT = 500;
const FILES_PER_DIRECTORY = 1_000;
const IN_FLIGHT = 4;
const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '1000000' },
    'base-port': { type: 'string', default: '33200' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const files = Number(values.files);

const { directory } = values;
const servers = new BenchServers({ count: 1, basePort: Number(values['base-port']), directory });
const [address] = servers.addresses;
const alive = setInterval(() => undefined, 60_000);

async function rssMiB(): Promise<number> {
  const { rssBytes } = await fetchServerStatus(address!, 10_000);
  return Math.round(rssBytes / MIB);
}

/** Kills the server and starts it again; milliseconds from the start until a client had an answer. */
async function restartMs(name: string): Promise<number> {
  await servers.kill(address!);
  const begun = performance.now();
  servers.start(address!);
  const client = servers.client(name);
  await client.lookup(ROOT_INO, bytes('d0'));
  return Math.round(performance.now() - begun);
}

try {
  servers.startAll();
  const client = servers.client('bench', 120_000);
  await client.statfs();
  const emptyRssMiB = await rssMiB();
  let highestRssMiB = emptyRssMiB;
  const directories = Math.ceil(files / FILES_PER_DIRECTORY);
  const begun = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < directories; at = next++) {
      const { results } = await client.commit([mkdir(ROOT_INO, `d${at}`)]);
      const parent = results[0]!.ino;
      const count = Math.min(FILES_PER_DIRECTORY, files - at * FILES_PER_DIRECTORY);
      for (let first = 0; first < count; first += FILES_PER_COMMIT) {
        const length = Math.min(FILES_PER_COMMIT, count - first);
        await client.commit(Array.from({ length }, (_, n) => mkfile(parent, `file-${first + n}`)));
      }
      if (at % 50 === 49) {
        highestRssMiB = Math.max(highestRssMiB, await rssMiB());
        process.stderr.write(`${(at + 1) * FILES_PER_DIRECTORY} files, ${await rssMiB()} MiB\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  const seconds = (performance.now() - begun) / 1000;
  const loadedRssMiB = await rssMiB();
  const { inodes } = await client.statfs();
  const restarts = [await restartMs('first')];
  const restartedRssMiB = await rssMiB();
  // Now the log is as short as it was left by the last start.
  await sleep(1_000);
  restarts.push(await restartMs('second'));
  const result = {
    files,
    inodes,
    loadSeconds: rounded(seconds),
    filesPerSecond: Math.round(files / seconds),
    emptyRssMiB,
    highestRssMiB: Math.max(highestRssMiB, loadedRssMiB),
    loadedRssMiB,
    restartedRssMiB,
    restartMs: restarts,
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  await servers.close();
  clearInterval(alive);
}
