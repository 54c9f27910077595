import type { Breakable } from './faults.ts';
import type { LinkTampering } from './links.ts';
import type { SimServer } from './server.ts';
import type { SimWorld } from './world.ts';

/**
 * The schedule of figure 8 of the Raft paper for three servers, step by step, because luck nearly never finds it: S1 leads and has an entry
 * that nobody else got, and dies. S2 leads, has another one in its place, and dies. S1 leads again and gives its old entry to S3, a
 * majority, but none of its new term; it dies. S2 comes back and wins, since its last entry is of a later term than that of S3,
 * and replaces the old entry everywhere. Whoever took that for committed is refuted.
 */

/** Between steps: what was sent is there, and what was written is on the disk. */
const STEP_MS = 60;
const POLL_MS = 5;
/** Until S3 has heard that the entry is committed, if it is told so. */
const TELL_MS = 600;

/** The servers whose entries of their own term get lost. */
const muted = new WeakMap<SimWorld, Set<string>>();

function mutedIn(world: SimWorld): Set<string> {
  const known = muted.get(world) ?? new Set<string>();
  muted.set(world, known);
  return known;
}

/** What a network may do: messages are lost, or their ends, which is as if less had been sent. */
export function ownEntriesLost(world: SimWorld): LinkTampering {
  return {
    outgoing(message) {
      if (message.entries.length === 0 || !mutedIn(world).has(message.from)) return [message];
      return [{ ...message, entries: message.entries.filter((entry) => entry.term < message.term) }];
    },
  };
}

const hasUncommitted = (server: SimServer): boolean => {
  const status = server.replica?.status();
  return status !== undefined && status.lastIndex > status.commitIndex;
};

const leads = (server: SimServer): boolean => server.replica?.status().role === 'leader';

export function figure8(target: Breakable): void {
  const { world } = target;
  const lost = mutedIn(world);
  const until = (condition: () => boolean, then: () => void): void => {
    if (world.healing) return;
    if (condition()) world.queue.after(STEP_MS, then);
    else world.queue.after(POLL_MS, () => until(condition, then));
  };
  const others = (...known: readonly SimServer[]): SimServer[] =>
    target.servers().filter((server) => !known.includes(server));
  const begin = (first: SimServer): void => {
    for (const server of target.servers()) lost.add(server.id);
    until(
      () => hasUncommitted(first),
      () => {
        first.crash(false);
        until(
          () => others(first).some(leads),
          () => second(first, others(first).find(leads)!),
        );
      },
    );
  };
  const second = (first: SimServer, rival: SimServer): void => {
    rival.crash(false);
    first.start();
    until(
      () => leads(first),
      () => world.queue.after(TELL_MS, () => last(first, rival)),
    );
  };
  const last = (first: SimServer, rival: SimServer): void => {
    world.trace('figure 8 is complete');
    first.crash(false);
    lost.clear();
    rival.start();
  };
  until(
    () => target.leader() !== undefined,
    () => begin(target.leader()!),
  );
}
