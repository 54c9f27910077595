import type { Random } from '../../../src/base/random.ts';
import type { MemberChange } from '../../../src/meta/raft/membership.ts';
import type { OptionName } from './options.ts';
import type { SimServer } from './server.ts';
import type { SimWorld } from './world.ts';

/** How often luck is asked. */
const STEP_MS = 50;
const SERVERS_MAX = 5;
const FAILPOINT_PASSES_MAX = 60;
const RETIRE_MS = 1_000;

/** What can be broken. */
export interface Breakable {
  readonly world: SimWorld;
  /** Without those that are down for good. */
  servers(): readonly SimServer[];
  leader(): SimServer | undefined;
  /** A new server, empty, with a number of its own. Undefined: there have been enough. */
  addServer(): SimServer | undefined;
  clientNames(): readonly string[];
  /** Replaces one. */
  crashClient(name: string): void;
  cutRaft(from: string, to: string): void;
  healRaft(from: string, to: string): void;
  slowRaft(from: string, to: string, delayMs: number): void;
  cutRpc(from: string, to: string, bothWays: boolean): void;
  healRpc(): void;
  breakStreams(name: string): void;
  anyProcess(random: Random): { pause(ms: number): void } | undefined;
}

/** Breaks things at the rates of the profile, each kind by luck of its own, and mends them after a while. */
export class Faults {
  readonly #target: Breakable;
  readonly #kinds: readonly {
    readonly name: OptionName;
    readonly random: Random;
    readonly strike: (random: Random) => void;
  }[];

  constructor(target: Breakable) {
    const { world } = target;
    this.#target = target;
    const kinds: Partial<Record<OptionName, (random: Random) => void>> = {
      streamBreaks: (random) => this.#breakStream(random),
      clientCuts: (random) => this.#cutClient(random),
      leaderCuts: (random) => this.#cutFromLeader(random),
      clientCrashes: (random) => this.#crashClient(random),
      partitions: (random) => this.#partition(random),
      oneWayCuts: (random) => this.#cutOneWay(random),
      slowLinks: (random) => this.#slowLink(random),
      kills: (random) => this.#crash(random, false),
      powerLosses: (random) => this.#crash(random, true),
      blackouts: (random) => this.#blackout(random),
      failpoints: (random) => this.#server(random)?.armFailpoint(1 + random.below(FAILPOINT_PASSES_MAX)),
      pauses: (random) => this.#pause(random),
      clockJumps: (random) => this.#server(random)?.jump(random.below(120_000) - 60_000),
      diskStalls: (random) => this.#stallDisk(random),
      diskFull: (random) => this.#fillDisk(random),
      readErrors: (random) => this.#server(random)?.failNextRead(),
      additions: () => this.#add(),
      removals: (random) => this.#remove(random),
      transfers: (random) => this.#transfer(random),
    };
    this.#kinds = Object.entries(kinds).map(([name, strike]) => ({
      name: name as OptionName,
      random: world.random(`fault ${name}`),
      strike,
    }));
  }

  start(): void {
    this.#target.world.queue.after(STEP_MS, () => this.#step());
  }

  #step(): void {
    const { world } = this.#target;
    if (world.healing) return;
    for (const { name, random, strike } of this.#kinds) {
      const chance = (world.options[name] * STEP_MS) / 1000;
      if (chance > 0 && random.next() < chance) strike(random);
    }
    world.queue.after(STEP_MS, () => this.#step());
  }

  /** Leaders are hit more often than others: most of what can go wrong is theirs. */
  #server(random: Random): SimServer | undefined {
    const running = this.#target.servers().filter((server) => server.replica !== undefined);
    const leader = this.#target.leader();
    if (leader !== undefined && random.below(3) === 0) return leader;
    return running[random.below(running.length)];
  }

  #later(ms: number, action: () => void): void {
    this.#target.world.queue.after(ms, action);
  }

  #crash(random: Random, power: boolean): void {
    const server = this.#server(random);
    server?.crash(power);
    server?.restartLater();
  }

  #blackout(_random: Random): void {
    for (const server of this.#target.servers()) {
      server.crash(true);
      server.restartLater();
    }
  }

  #pause(random: Random): void {
    const process = this.#target.anyProcess(random);
    if (process === undefined) return;
    this.#target.world.counts.pauses += 1;
    this.#target.world.trace('a process stands still');
    process.pause(50 + random.below(random.below(2) === 0 ? 300 : 3_000));
  }

  /** Two groups of servers; each client can reach one of them, or both. */
  #partition(random: Random): void {
    const { world } = this.#target;
    world.counts.partitions += 1;
    const sides = new Map<string, number>();
    for (const server of this.#target.servers()) sides.set(server.id, random.below(2));
    const leader = this.#target.leader();
    // Half of the time the leader is alone: it must notice.
    if (leader !== undefined && random.below(2) === 0) {
      for (const id of sides.keys()) sides.set(id, id === leader.id ? 0 : 1);
    }
    const ids = [...sides.keys()];
    const cuts = ids.flatMap((a) =>
      ids.filter((b) => sides.get(a) !== sides.get(b)).map((b) => [a, b] as const),
    );
    for (const [a, b] of cuts) this.#target.cutRaft(a, b);
    world.trace(`partition ${ids.map((id) => `${id}:${sides.get(id)}`).join(' ')}`);
    for (const client of this.#target.clientNames()) {
      const side = random.below(3);
      for (const server of this.#target.servers()) {
        if (side < 2 && sides.get(server.id) !== side) this.#target.cutRpc(client, server.address, true);
      }
    }
    this.#later(300 + random.below(3_000), () => {
      for (const [a, b] of cuts) this.#target.healRaft(a, b);
      this.#target.healRpc();
    });
  }

  #cutOneWay(random: Random): void {
    const { world } = this.#target;
    const from = this.#server(random);
    const others = this.#target.servers().filter((server) => server !== from);
    const to = others[random.below(others.length)];
    if (from === undefined || to === undefined) return;
    world.counts.partitions += 1;
    const [a, b] = random.below(2) === 0 ? [from.id, to.id] : [to.id, from.id];
    world.trace(`cut from ${a} to ${b}`);
    this.#target.cutRaft(a, b);
    this.#later(200 + random.below(3_000), () => this.#target.healRaft(a, b));
  }

  #slowLink(random: Random): void {
    const [from, to] = [this.#server(random), this.#server(random)];
    if (from === undefined || to === undefined || from === to) return;
    const [a, b] = [from.id, to.id];
    this.#target.slowRaft(a, b, 20 + random.below(400));
    this.#later(500 + random.below(3_000), () => this.#target.slowRaft(a, b, 0));
  }

  #breakStream(random: Random): void {
    const names = this.#target.clientNames();
    const name = names[random.below(names.length)];
    if (name !== undefined) this.#target.breakStreams(name);
  }

  #cutFromLeader(random: Random): void {
    const names = this.#target.clientNames();
    const name = names[random.below(names.length)];
    const leader = this.#target.leader();
    if (name === undefined || leader === undefined) return;
    this.#target.cutRpc(name, leader.address, true);
    this.#target.world.trace(`${name} is cut off from ${leader.id}`);
    const { clientCutMs } = this.#target.world.options;
    this.#later(1_000 + random.below(clientCutMs), () => this.#target.healRpc());
  }

  #cutClient(random: Random): void {
    const names = this.#target.clientNames();
    const name = names[random.below(names.length)];
    if (name === undefined) return;
    const both = random.below(2) === 0;
    const up = random.below(2) === 0;
    for (const { address } of this.#target.servers()) {
      if (up) this.#target.cutRpc(name, address, both);
      else this.#target.cutRpc(address, name, both);
    }
    this.#target.world.trace(`${name} is cut off`);
    const { clientCutMs } = this.#target.world.options;
    this.#later(200 + random.below(clientCutMs), () => this.#target.healRpc());
  }

  #crashClient(random: Random): void {
    const names = this.#target.clientNames();
    const name = names[random.below(names.length)];
    if (name !== undefined) this.#target.crashClient(name);
  }

  #stallDisk(random: Random): void {
    const server = this.#server(random);
    if (server !== undefined) server.disk.stalledUntilMs = this.#target.world.nowMs + random.below(1_500);
  }

  #fillDisk(random: Random): void {
    const server = this.#server(random);
    if (server === undefined) return;
    this.#target.world.counts.fullDisks += 1;
    this.#target.world.trace(`the disk of ${server.id} is full`);
    server.disk.full = true;
    this.#later(100 + random.below(3_000), () => {
      server.disk.full = false;
    });
  }

  #add(): void {
    if (this.#target.servers().length >= SERVERS_MAX) return;
    const added = this.#target.addServer();
    if (added === undefined) return;
    added.start();
    const value = { id: added.id, address: added.address, learner: false };
    this.#change({ $case: 'add', value });
  }

  #remove(random: Random): void {
    const servers = this.#target.servers();
    // The first server stays: clients know it.
    const others = servers.filter(({ id }) => id !== 's1');
    const victim = others[random.below(others.length)];
    if (victim === undefined || servers.length <= 3) return;
    this.#change({ $case: 'remove', value: { id: victim.id, force: false } });
  }

  #transfer(random: Random): void {
    const servers = this.#target.servers();
    const to = servers[random.below(servers.length)];
    if (to === undefined) return;
    this.#change({ $case: 'transferTo', value: to.id });
  }

  /** Its operator stops the server, and it never comes back. */
  #retireLater(id: string): void {
    this.#later(RETIRE_MS, () => {
      this.#target
        .servers()
        .find((server) => server.id === id)
        ?.retire();
    });
  }

  #change(change: MemberChange): void {
    const { world } = this.#target;
    const leader = this.#target.leader();
    const { replica, process } = leader ?? {};
    if (replica === undefined || process === undefined) return;
    const what = `${change.$case} ${typeof change.value === 'string' ? change.value : change.value.id}`;
    process.run(() => {
      replica.changeMembers(change).then(
        (index) => {
          if (change.$case === 'transferTo') world.counts.transfers += 1;
          else world.counts.memberChanges += 1;
          world.trace(`${what}: done at ${index}`);
          if (change.$case === 'remove') this.#retireLater(change.value.id);
        },
        (error: unknown) => world.trace(`${what}: ${(error as Error).message}`),
      );
    });
  }
}
