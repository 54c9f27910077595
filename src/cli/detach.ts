import { spawnRingfs, untilReady } from './ringfs-child.ts';

/** Runs a ringfs command in the background and resolves with what it says of itself when it is ready. Throws CliError. */
export async function detach(args: readonly string[], logFile: string): Promise<Record<string, unknown>> {
  const child = spawnRingfs(args, logFile);
  try {
    return await untilReady(child, { logFile });
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}
