import type { ChildProcess } from 'node:child_process';

/** What `ringfs status --json` says, as far as scenarios look at it. */
export interface ClusterStatus {
  readonly health: string;
  readonly leader: string | null;
  readonly servers: readonly {
    readonly id: string;
    readonly health: string;
    readonly raft: { readonly appliedIndex: number } | null;
    readonly ring: { readonly underReplicated: number } | null;
  }[];
}

/**
 * A cluster whose machines can be broken: servers and mounts, each with an address of its own. Network namespaces and containers
 * are two of them; scenarios do not know which they run on.
 */
export interface Rig {
  readonly form: 'netns' | 'docker';
  readonly servers: readonly string[];
  readonly mounts: readonly string[];
  /** Starts a server that was killed or stopped, or a mount, and waits until a mount can be used. */
  start(node: string): Promise<void>;
  /** SIGKILL. */
  kill(node: string): Promise<void>;
  /** SIGTERM; waits for the end. */
  stop(node: string): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause(node: string): Promise<void>;
  resume(node: string): Promise<void>;
  /** From now on nothing that `from` sends reaches `to`. The other direction still works. */
  cut(from: string, to: string): Promise<void>;
  /** Takes all cuts back. */
  heal(): Promise<void>;
  /** From the servers that answer. Rejects when none does. */
  status(): Promise<ClusterStatus>;
  /** Runs a worker (workers/main.ts) on the machine of a mount, in the mounted directory. */
  worker(mount: string, args: readonly string[]): ChildProcess;
  close(): Promise<void>;
}

/** Nothing passes between the two groups, in either direction. */
export async function partition(rig: Rig, one: readonly string[], other: readonly string[]): Promise<void> {
  for (const a of one) {
    for (const b of other) {
      await rig.cut(a, b);
      await rig.cut(b, a);
    }
  }
}
