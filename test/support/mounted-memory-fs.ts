import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type FrontEndKind = 'devfuse' | 'fuse-native';

export interface MountedProcess {
  readonly directory: string;
  readonly pid: number;
  /** What the process wrote to its standard error: warnings and errors. */
  errors(): string;
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
  const ready = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  const failed = exited.then((code) => {
    throw new Error(`the mount process ended with ${code}: ${errors}`);
  });
  failed.catch(() => {});
  await Promise.race([ready, failed]);
  return {
    directory,
    pid: child.pid!,
    errors: () => errors,
    async close() {
      child.stdin.end();
      const code = await exited;
      await rmdir(directory);
      if (code !== 0) throw new Error(`the mount process ended with ${code}: ${errors}`);
    },
  };
}
