import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

/** What a filesystem may lack; a case that needs it is skipped there. See mount/fuse-native/LIMITS.md. */
export type Capability =
  | 'caller-ids'
  | 'nanoseconds'
  | 'times-before-1970'
  | 'single-times'
  | 'unlinked-open'
  | 'rename-flags'
  | 'binary-names'
  | 'mapped-append'
  | 'whole-appends'
  | 'fallocate'
  | 'holes'
  | 'tmpfile'
  | 'access-lists'
  | 'large-xattrs'
  | 'direct-io'
  | 'removed-directory';

/** What the fuse-native front end lacks. */
export const FUSE_NATIVE_LACKS: ReadonlySet<Capability> = new Set<Capability>([
  'caller-ids',
  'nanoseconds',
  'times-before-1970',
  'single-times',
  'unlinked-open',
  'rename-flags',
  'binary-names',
  'mapped-append',
  'whole-appends',
  'fallocate',
  'holes',
  'tmpfile',
  'access-lists',
  'direct-io',
  'removed-directory',
]);

/** One property of POSIX, checked in an empty directory of its own. */
export interface PosixCase {
  readonly name: string;
  readonly needs?: readonly Capability[];
  /** Commands that must be there. */
  readonly commands?: readonly string[];
  /** Only when run as root. */
  readonly root?: boolean;
  run(dir: string): Promise<void>;
}

export interface CommandOutput {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
}

/** Runs a command to its end, whatever its exit code. */
export function execute(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const { input, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...spawnOptions, stdio: ['pipe', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.on('error', () => {}); // the command need not read its input
    child.stdin.end(input ?? '');
  });
}

/** Runs a shell script, which must succeed; returns its output. */
export async function shell(script: string, cwd: string, options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await execute('sh', ['-euc', script], { ...options, cwd });
  assert.equal(
    code,
    0,
    `shell script failed with exit code ${code}:\n${script}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`,
  );
  return stdout;
}

/** Runs a Python program, which must succeed. Python has the system calls that Node lacks. */
export async function python(program: string, cwd: string, args: readonly string[] = []): Promise<string> {
  const { code, stdout, stderr } = await execute('python3', ['-c', program, ...args], { cwd });
  assert.equal(code, 0, `python failed with exit code ${code}:\n${stderr}`);
  return stdout;
}

/** An ordinary user, for what root may do anyway. */
export const NOBODY = { uid: 65_534, gid: 65_534 } as const;

export async function rejectsWith(code: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: NodeJS.ErrnoException) => {
    assert.equal(error.code, code, `expected ${code}, got ${error.code}: ${error.message}`);
    return true;
  });
}

/** Bytes that differ everywhere, so that a misplaced piece shows. */
export function pattern(length: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(length);
  let state = (seed * 2_654_435_761) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i]) assert.fail(`${what}: byte ${i} is ${actual[i]}, not ${expected[i]}`);
  }
}
