/**
 * Runs pjdfstest (https://github.com/pjd/pjdfstest, not part of this repository) as root on a fresh cluster of three servers,
 * mounted, and removes the cluster afterwards:
 *
 *   node dist/test/posix/pjdfstest.js SUITE_DIR [option...] [folder or file below SUITE_DIR/tests...] [-- prove option...]
 *
 * The last line is "N files, N tests, N failed"; the exit code is 0 if nothing failed, 1 if something did, 2 if it cannot run.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { type FileReport, failedChecks, ProveReader, type ProveReport } from '../support/prove-report.ts';
import { ringfs, TestCluster } from '../support/test-cluster.ts';

const USAGE = `usage: node dist/test/posix/pjdfstest.js SUITE_DIR [option...] [folder or file below SUITE_DIR/tests...] [-- prove option...]
  --dir DIR         run in this directory, of whatever filesystem, instead of on a cluster
  --driver NAME     devfuse (the default) or fuse-native
  --second-mount    mount the cluster twice; the system calls of a test go to both mounts in turn
  --frozen-server   stop one of the three servers (SIGSTOP) before the tests begin
`;
/** What the suite's scripts call: without openssl they would give all files one name. */
const COMMANDS: Readonly<Record<string, string>> = { prove: 'perl', openssl: 'openssl', awk: 'mawk' };

interface Options {
  readonly suite: string;
  readonly dir: string | undefined;
  readonly driver: string;
  readonly secondMount: boolean;
  readonly frozenServer: boolean;
  readonly proveArgs: readonly string[];
}

class CannotRun extends Error {}

function parseOptions(): Options {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse();
  } catch (error) {
    throw new CannotRun(`${(error as Error).message}\n${USAGE}`);
  }
  const { values, positionals } = parsed;
  const [suiteArg, ...rest] = positionals;
  if (suiteArg === undefined) throw new CannotRun(USAGE);
  const suite = path.resolve(suiteArg);
  const tests = rest.filter((arg) => existsSync(path.join(suite, 'tests', arg)));
  if (values.dir !== undefined && (values['second-mount'] || values['frozen-server'])) {
    throw new CannotRun('--dir uses a directory as it is: no --second-mount and no --frozen-server with it');
  }
  return {
    suite,
    dir: values.dir,
    driver: values.driver,
    secondMount: values['second-mount'],
    frozenServer: values['frozen-server'],
    proveArgs: [...rest.filter((arg) => !tests.includes(arg)), ...(tests.length > 0 ? tests : ['.'])],
  };
}

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      driver: { type: 'string', default: 'devfuse' },
      'second-mount': { type: 'boolean', default: false },
      'frozen-server': { type: 'boolean', default: false },
    },
  });
}

function checkThatItCanRun({ suite, dir }: Options): void {
  if (process.getuid?.() !== 0)
    throw new CannotRun('pjdfstest must be run as root: it acts as several users');
  if (!existsSync(path.join(suite, 'tests', 'misc.sh'))) {
    throw new CannotRun(
      `${suite} is not pjdfstest: it has no tests/misc.sh. git clone https://github.com/pjd/pjdfstest`,
    );
  }
  try {
    accessSync(path.join(suite, 'pjdfstest'), constants.X_OK);
  } catch {
    throw new CannotRun(
      `${suite}/pjdfstest is not built: cd ${suite} && autoreconf -ifs && ./configure && make pjdfstest (Debian: autoconf automake gcc make)`,
    );
  }
  for (const [command, debianPackage] of Object.entries(COMMANDS)) {
    if (spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0) {
      throw new CannotRun(`${command} is not installed (Debian: ${debianPackage})`);
    }
  }
  if (dir !== undefined && !existsSync(dir)) throw new CannotRun(`${dir} does not exist`);
}

/** What has to be undone in the end, in the opposite order, once, also when a signal comes meanwhile. */
class CleanUp {
  readonly #steps: (() => void | Promise<void>)[] = [];
  #running: Promise<void> | undefined;

  /** Throws when everything is being undone already: then there is nothing to go on for. */
  add(step: () => void | Promise<void>): void {
    this.#steps.push(step);
    if (this.#running !== undefined) throw new CannotRun('interrupted');
  }

  run(): Promise<void> {
    this.#running ??= this.#undoAll();
    return this.#running;
  }

  async #undoAll(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) await step();
  }
}

function temporaryDirectory(parent: string, cleanUp: CleanUp): string {
  const made = mkdtempSync(path.join(parent, 'pjdfstest-'));
  chmodSync(made, 0o755);
  cleanUp.add(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

interface Place {
  /** The suite to use, which may be a copy. */
  readonly suite: string;
  /** Where its tests run. */
  readonly directory: string;
}

async function preparePlace(options: Options, cleanUp: CleanUp): Promise<Place> {
  const { suite, dir, driver, secondMount, frozenServer } = options;
  if (dir !== undefined) return { suite, directory: temporaryDirectory(path.resolve(dir), cleanUp) };
  const starting = TestCluster.start('--driver', driver);
  cleanUp.add(() =>
    starting.then(
      (cluster) => cluster.remove(),
      () => {}, // it has removed itself; who waits for it below is told
    ),
  );
  const cluster = await starting;
  console.log(cluster.readyLine);
  const place = secondMount
    ? twoMounts(suite, driver, cluster, cleanUp)
    : { suite, directory: cluster.mount };
  if (frozenServer) await freezeServer(cluster, cleanUp);
  return place;
}

async function freezeServer(cluster: TestCluster, cleanUp: CleanUp): Promise<void> {
  const { id, pid } = await cluster.leader();
  if (pid === null) throw new CannotRun(`server ${id} does not tell its process`);
  process.kill(pid, 'SIGSTOP');
  cleanUp.add(() => {
    process.kill(pid, 'SIGCONT');
  });
  console.log(`${id}, the leader, is stopped; two servers are left`);
}

/** A copy of the suite whose program goes to the same place on the other mount at every second call. */
function twoMounts(suite: string, driver: string, cluster: TestCluster, cleanUp: CleanUp): Place {
  const other = temporaryDirectory(tmpdir(), cleanUp);
  const mounted = ringfs('mount', cluster.addresses.join(','), other, '-o', `driver=${driver}`);
  if (mounted.status !== 0) throw new CannotRun(`no second mount: ${mounted.stderr}`);
  cleanUp.add(() => {
    const done = ringfs('umount', other);
    if (done.status !== 0) process.stderr.write(done.stderr);
  });
  console.log(mounted.stdout.trim());
  const copy = temporaryDirectory(tmpdir(), cleanUp);
  cpSync(path.join(suite, 'tests'), path.join(copy, 'tests'), { recursive: true });
  const turn = path.join(copy, 'turn');
  writeFileSync(turn, '0\n');
  writeFileSync(
    path.join(copy, 'pjdfstest'),
    `#!/bin/sh
read -r turn <'${turn}'
if [ "$turn" = 1 ]; then
  echo 0 >'${turn}'
  cd "${other}\${PWD#${cluster.mount}}" || exit 1
else
  echo 1 >'${turn}'
fi
exec '${path.join(suite, 'pjdfstest')}' "$@"
`,
    { mode: 0o755 },
  );
  return { suite: copy, directory: cluster.mount };
}

function printFile(file: FileReport, testsDir: string): void {
  const failed = failedChecks(file);
  console.log(`${path.relative(testsDir, file.path)}: ${file.ran}${failed > 0 ? `, ${failed} FAILED` : ''}`);
  for (const failure of file.failures) console.log(`    ${failure}`);
}

/** Runs prove and prints every file when it is done. Resolves with its report and exit code. */
async function prove(
  { suite, directory }: Place,
  proveArgs: readonly string[],
  cleanUp: CleanUp,
): Promise<{ report: ProveReport; code: number | null }> {
  const testsDir = path.join(suite, 'tests');
  const args = proveArgs.map((arg) =>
    existsSync(path.join(testsDir, arg)) ? path.join(testsDir, arg) : arg,
  );
  const child = spawn('prove', ['--verbose', '--recurse', ...args], {
    cwd: directory,
    env: { ...process.env, PWD: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
  cleanUp.add(async () => {
    child.kill();
    await exited;
  });
  const reader = new ProveReader();
  let last: FileReport | undefined;
  for await (const line of createInterface(child.stdout)) {
    const begun = reader.line(line);
    if (begun === undefined) continue;
    if (last !== undefined) printFile(last, testsDir);
    last = begun;
  }
  if (last !== undefined) printFile(last, testsDir);
  return { report: reader.end(), code: await exited };
}

/** Prints the result; true if everything passed. */
function printResult({ files, complaints }: ProveReport, code: number | null): boolean {
  for (const [file, lines] of complaints) console.log(`${file}: ${lines.join('; ')}`);
  const sum = (of: (file: FileReport) => number): number =>
    files.reduce((total, file) => total + of(file), 0);
  const [tests, failed, todos] = [
    sum((file) => file.ran),
    sum(failedChecks),
    sum((file) => file.todos.length),
  ];
  if (todos > 0)
    console.log(`${todos} checks have no effect: the suite marks them as not so on this system (TODO)`);
  if (code !== 0 && failed === 0)
    console.log(`prove ended with ${code ?? 'a signal'}: not everything was run`);
  console.log(`${files.length} files, ${tests} tests, ${failed} failed`);
  return code === 0 && failed === 0 && tests > 0;
}

async function main(): Promise<number> {
  const cleanUp = new CleanUp();
  const stop = (): void => {
    void cleanUp.run().finally(() => process.exit(130));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const options = parseOptions();
    checkThatItCanRun(options);
    const place = await preparePlace(options, cleanUp);
    const { report, code } = await prove(place, options.proveArgs, cleanUp);
    return printResult(report, code) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CannotRun)) throw error;
    process.stderr.write(`${error.message.trimEnd()}\n`);
    return 2;
  } finally {
    await cleanUp.run();
  }
}

process.exitCode = await main();
