import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import { ROOT_INO } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import type { MetaClient } from '../../../src/client/meta-client.ts';
import { chunkKey, dentryKey, dentryRange, inodeKey, nameOfKey } from '../../../src/core/namespace/keys.ts';
import { ATTR, CHUNK, DENTRY } from '../../../src/core/namespace/rows.ts';
import type { Attr, Chunk, Extent, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { History } from '../../support/history.ts';
import { MetaCluster } from '../../support/meta-cluster.ts';
import {
  append,
  bytes,
  link,
  mkdir,
  mkfile,
  rename,
  rmdir,
  setAttr,
  text,
  truncate,
  unlink,
  write,
} from '../../support/namespace-ops.ts';

const EMPTY = new Uint8Array(0);
const NAMES = ['a', 'b', 'c', 'd'];
const CLIENTS = ['x', 'y', 'z'];
const FIBERS_PER_CLIENT = 2;
const STEPS = 120;
/** What operations on a tree that others change may say. */
const EXPECTED = new Set(['ENOENT', 'EEXIST', 'ESTALE', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY', 'EINVAL', 'EPERM']);

const inline = (content: string): Extent => ({
  offset: 0,
  length: content.length,
  blockId: EMPTY,
  blockOffset: 0,
  blockLength: 0,
  inline: bytes(content),
});

/** An inode without a name may be reaped at any time, which is told to nobody. */
const UNLINKED = 'unlinked';
const showAttr = (attr: Attr | undefined): string =>
  attr === undefined || attr.nlink === 0
    ? UNLINKED
    : `v${attr.version} size ${attr.size} nlink ${attr.nlink}`;
const showLayout = (layout: { attr: Attr; chunks: readonly Chunk[] } | undefined): string =>
  layout === undefined || layout.attr.nlink === 0 ? UNLINKED : showChunks(layout.chunks);
const showChunks = (chunks: readonly Chunk[]): string =>
  chunks.map((c) => `${c.version}:${c.extents.map((e) => `${e.offset}+${text(e.inline)}`)}`).join();
const showList = (entries: readonly { readonly name: string; readonly ino: number }[]): string =>
  entries.map((e) => `${e.name}=${e.ino}`).join();

/**
 * Clients that read, change and cache one small tree while leaders change, streams break and clients are cut off. Every
 * answer must have been right at some moment between the question and the answer, whoever else saw what before; every
 * acknowledged append must be there once.
 */
class Simulation {
  readonly random: Random;
  readonly cluster: MetaCluster;
  readonly history = new History();
  readonly dirs: number[] = [ROOT_INO];
  readonly inos = new Set<number>();
  readonly trace: string[] = [];
  log = 0 as Ino;
  appended = 0;
  appendsUnknown = 0;
  done = false;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.cluster = new MetaCluster({ seed, latencyMs: () => this.random.below(8) });
    for (const { replica } of this.cluster.members) {
      replica.onApplied((batch) => {
        for (const { outcome } of batch) {
          const body = outcome.result.body;
          if (body?.$case !== 'ok') continue;
          for (const { attr } of body.value.touched) if (attr !== undefined) this.inos.add(attr.ino);
        }
        this.record(batch.at(-1)!.index);
      });
    }
  }

  record(index: number): void {
    const store = this.cluster.machine.store;
    for (const dir of this.dirs) {
      for (const name of NAMES) {
        const row = store.getSync(dentryKey(dir, bytes(name)));
        this.history.record(index, `${dir}/${name}`, row === undefined ? '-' : `${DENTRY.decode(row).ino}`);
      }
      const list = store.scanSync(dentryRange(dir, EMPTY)).map(([key, value]) => ({
        name: text(nameOfKey(key)),
        ino: DENTRY.decode(value).ino,
      }));
      this.history.record(index, `list ${dir}`, showList(list));
    }
    for (const ino of this.inos) {
      const row = store.getSync(inodeKey(ino));
      const attr = row === undefined ? undefined : ATTR.decode(row);
      this.history.record(index, `attr ${ino}`, showAttr(attr));
      const chunk = store.getSync(chunkKey(ino, 0));
      const layout = attr && { attr, chunks: chunk === undefined ? [] : [CHUNK.decode(chunk)] };
      this.history.record(index, `chunks ${ino}`, showLayout(layout));
    }
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)]!;
  }

  async prepare(client: MetaClient): Promise<void> {
    const ok = await client.commit([mkdir(ROOT_INO, 'd1'), mkdir(ROOT_INO, 'd2'), mkfile(ROOT_INO, 'log')]);
    this.dirs.push(ok.results[0]!.ino, ok.results[1]!.ino);
    this.log = ok.results[2]!.ino as Ino;
    this.record(this.cluster.machine.index);
  }

  async run(): Promise<void> {
    const { timers } = this.cluster;
    const clients = CLIENTS.map((name) => this.cluster.client(name, { operationTimeoutMs: 60_000 }));
    await timers.resolve(this.prepare(clients[0]!));
    const fibers = clients.flatMap((client, i) =>
      Array.from({ length: FIBERS_PER_CLIENT }, (_, k) => this.fiber(client, `${CLIENTS[i]}${k}`)),
    );
    const faults = this.faults();
    await timers.resolve(Promise.all(fibers));
    this.done = true;
    await timers.resolve(faults);
    const size = (await timers.resolve(clients[0]!.getattr(this.log))).size;
    assert.ok(
      size >= this.appended && size <= this.appended + this.appendsUnknown,
      `${this.appended} appends acknowledged, ${size} there`,
    );
    assert.ok(clients.reduce((n, c) => n + c.stats().cacheHits, 0) > 50, 'the caches were used');
    for (const client of clients) await timers.resolve(client.close());
  }

  async fiber(client: MetaClient, name: string): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.cluster.timers.sleep(this.random.below(30));
      try {
        if (this.random.below(3) === 0) await this.change(client, name);
        else await this.read(client, name);
      } catch (error) {
        if (!(error instanceof FsError) || !EXPECTED.has(error.code)) throw error;
      }
    }
  }

  async read(client: MetaClient, who: string): Promise<void> {
    const since = this.history.seen;
    const check = (thing: string, value: string): void => {
      this.trace.push(`${who} ${thing} = ${value}`);
      this.history.check(thing, value, since, this.cluster.machine.index);
    };
    const dir = this.pick(this.dirs) as Ino;
    const ino = this.pick([...this.inos]) as Ino;
    switch (this.random.below(4)) {
      case 0: {
        const name = this.pick(NAMES);
        const attr = await client.lookup(dir, bytes(name));
        check(`${dir}/${name}`, attr === undefined ? '-' : `${attr.ino}`);
        if (attr !== undefined) check(`attr ${attr.ino}`, showAttr(attr));
        return;
      }
      case 1: {
        const page = await client.readdir(dir, EMPTY, 100, this.random.below(2) === 0);
        check(`list ${dir}`, showList(page.entries.map((e) => ({ name: text(e.name), ino: e.ino }))));
        return;
      }
      case 2: {
        const attr = await client.getattr(ino).catch(gone);
        check(`attr ${ino}`, showAttr(attr));
        return;
      }
      default: {
        const layout = await client.getChunks(ino, 0, 1).catch(gone);
        check(`chunks ${ino}`, showLayout(layout));
      }
    }
  }

  async change(client: MetaClient, who: string): Promise<void> {
    const isAppend = this.random.below(5) === 0;
    const op = isAppend ? append(this.log, [inline('+')]) : this.operation();
    try {
      const ok = await client.commit([op]);
      this.history.seen = Math.max(this.history.seen, ok.index);
      this.trace.push(`${who} ${op.body?.$case} at ${ok.index}`);
      if (isAppend) this.appended++;
    } catch (error) {
      if (isAppend) this.appendsUnknown++;
      throw error;
    }
  }

  operation(): Op {
    const [dir, other] = [this.pick(this.dirs), this.pick(this.dirs)];
    const [name, otherName] = [this.pick(NAMES), this.pick(NAMES)];
    const ino = this.pick([...this.inos].filter((i) => i !== this.log));
    const makers: (() => Op)[] = [
      () => mkfile(dir, name),
      () => mkfile(dir, name),
      () => unlink(dir, name),
      () => rename(dir, name, other, otherName, this.pick([0, 0, 1, 2])),
      () => write(ino, [inline(`w${this.random.below(1000)}`)]),
      () => truncate(ino, 0),
      () => setAttr(ino, { mode: 0o600 + this.random.below(64) }),
      () => link(ino, dir, name),
      () => mkdir(dir, name),
      () => rmdir(dir, name),
    ];
    return this.pick(makers)();
  }

  async faults(): Promise<void> {
    const { timers, network, members } = this.cluster;
    const addresses = members.map((m) => m.address);
    while (!this.done) {
      await timers.sleep(this.random.below(600));
      switch (this.random.below(6)) {
        case 0:
          this.cluster.elect(this.random.below(members.length));
          break;
        case 1:
          this.cluster.depose();
          await timers.sleep(this.random.below(900));
          this.cluster.elect(this.random.below(members.length));
          break;
        case 2:
          network.breakStreams(this.pick(CLIENTS));
          break;
        case 3:
          network.partition([this.pick(CLIENTS)], addresses);
          await timers.sleep(this.random.below(2_000));
          network.heal();
          break;
        case 4: {
          const lost = this.pick(CLIENTS);
          network.onDeliver = (m) => !(m.kind === 'reply' && m.to === lost && m.body.$case === 'commit');
          await timers.sleep(this.random.below(200));
          network.onDeliver = undefined;
          network.breakStreams(lost);
          break;
        }
        default:
          for (const { replica } of members) replica.leaseOk = this.random.below(4) > 0;
      }
    }
    network.heal();
    if (this.cluster.leader === undefined) this.cluster.elect(0);
    for (const { replica } of members) replica.leaseOk = true;
  }
}

function gone(error: unknown): undefined {
  if (error instanceof FsError && error.code === 'ESTALE') return undefined;
  throw error;
}

describe('clients of a cluster in trouble', () => {
  const first = Number(process.env['SIM_SEED'] ?? 1);
  const count = Number(process.env['SIM_SEEDS'] ?? 4);
  for (let seed = first; seed < first + count; seed++) {
    it(`seed ${seed}`, async () => {
      const simulation = new Simulation(seed);
      try {
        await simulation.run();
      } catch (error) {
        console.error(simulation.trace.slice(-40).join('\n'));
        throw error;
      }
    });
  }
});
