import type { ChildProcess } from 'node:child_process';
import type { Machine } from './cluster.ts';

/** Which RingFS a machine runs: this clone, or the same with a higher version. */
export type Build = 'this' | 'next';

/** One way to have machines. Each has an address, a directory for data that outlives its process, and one RingFS process at most. */
export interface Backend {
  readonly form: 'netns' | 'docker';
  /** Of all addresses, with the last byte missing. */
  readonly subnet: string;
  /** On this machine: data, clocks and logs are kept there. */
  readonly root: string;
  /** The network with all machines on it, none of them running. */
  connect(machines: readonly Machine[]): Promise<void>;
  /** A directory below `root`, as the process on the machine sees it. */
  inside(machine: Machine, folder: 'data' | 'clock'): string;
  /** Where a mount's machine has its directory, as its process sees it. */
  directory(machine: Machine): string;
  run(
    machine: Machine,
    args: readonly string[],
    options: { readonly build: Build; readonly env: Readonly<Record<string, string>> },
  ): Promise<void>;
  /** Of the RingFS process, here. Undefined: none runs. */
  pid(machine: Machine): Promise<number | undefined>;
  /** Sends it and waits for the end. */
  end(machine: Machine, signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  isMounted(machine: Machine): Promise<boolean>;
  /** Runs a command with the network of a machine; does nothing when it has none because nothing runs there. */
  inNetwork(machine: Machine, ...command: readonly string[]): Promise<void>;
  /** Runs a command of RingFS next to the machines. */
  ringfs(args: readonly string[]): Promise<string>;
  worker(machine: Machine, args: readonly string[]): ChildProcess;
  /** Everything that the processes of the machine have said so far. */
  log(machine: Machine): Promise<string>;
  /** Ends and removes everything but `root`. */
  close(): Promise<void>;
}
