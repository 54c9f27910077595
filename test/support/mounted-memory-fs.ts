import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { StopOptions } from '../../mount/front-end.ts';

export type FrontEndKind = 'devfuse' | 'fuse-native';

/** What the mount process can be asked to do. */
export type MountCommand =
  | { readonly command: 'overwrite'; readonly name: string; readonly content: string }
  | { readonly command: 'invalidate'; readonly name: string }
  | { readonly command: 'chmod'; readonly name: string; readonly mode: number }
  | { readonly command: 'stop'; readonly options: StopOptions }
  | { readonly command: 'counts' };

export interface MountedProcess {
  readonly directory: string;
  readonly child: ChildProcess;
  /** What the process wrote to its standard error: warnings and errors. */
  errors(): string;
  /** Resolves with the next line that the process prints. */
  nextLine(): Promise<string>;
  /** Sends a command and resolves with its answer. */
  ask(command: MountCommand): Promise<string>;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
  /** Unmounts, waits for the end of the process and removes the directory. Rejects when it did not end well. */
  close(): Promise<void>;
}

/** Why this machine cannot mount; undefined when it can. */
export function reasonNotToMount(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/fuse')) return 'no /dev/fuse';
  return undefined;
}

/** Mounts a memory file system by a process of its own: a process must not use its own mount. */
export async function mountMemoryFs(kind: FrontEndKind): Promise<MountedProcess> {
  const directory = await mkdtemp(join(tmpdir(), `ringfs-${kind}-`));
  const program = fileURLToPath(new URL('./mount-memory-fs.js', import.meta.url));
  const child = spawn(process.execPath, [program, kind, directory], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error(`the mount process ended with ${await exited}: ${errors}`);
    return line.value;
  };
  const first = await nextLine();
  if (first !== 'ready') throw new Error(`the mount process said ${first}`);
  return {
    directory,
    child,
    exited,
    errors: () => errors,
    nextLine,
    ask(command) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      return nextLine();
    },
    async close() {
      child.stdin.end();
      const code = await exited;
      await rmdir(directory);
      if (code !== 0) throw new Error(`the mount process ended with ${code}: ${errors}`);
    },
  };
}
