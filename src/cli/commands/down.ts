import path from 'node:path';
import { signalAll, waitForExit } from '../processes.ts';
import { readRun, removeRun, runningProcesses } from '../run-state.ts';
import { unmountStale } from './umount.ts';

const STOP_TIMEOUT_MS = 90_000;
const KILL_TIMEOUT_MS = 5_000;

/** Ends what `ringfs up` started in this data directory, also when its supervisor is gone. */
export async function runDown(flags: { data: string; json?: boolean }): Promise<void> {
  const data = path.resolve(flags.data);
  const run = readRun(data);
  const say = (stopped: readonly number[], text: string): void => {
    process.stdout.write(flags.json === true ? `${JSON.stringify({ data, stopped })}\n` : `${text}\n`);
  };
  if (run === undefined) {
    say([], `nothing is running in ${data}`);
    return;
  }
  const running = runningProcesses(run);
  if (running.includes(run.pid)) {
    signalAll([run.pid], 'SIGTERM');
    await waitForExit([run.pid], STOP_TIMEOUT_MS);
  }
  // In this order: the mount and the gateway flush to the servers.
  const clients = [run.mountPid, run.gatewayPid];
  await stopLeftOvers(runningProcesses(run).filter((pid) => clients.includes(pid)));
  await unmountStale(run.mount);
  await stopLeftOvers(runningProcesses(run));
  removeRun(data);
  say(running, `stopped ${running.length} processes of ${data}`);
}

async function stopLeftOvers(pids: readonly number[]): Promise<void> {
  signalAll(pids, 'SIGTERM');
  const stubborn = await waitForExit(pids, STOP_TIMEOUT_MS / 3);
  signalAll(stubborn, 'SIGKILL');
  await waitForExit(stubborn, KILL_TIMEOUT_MS);
}
