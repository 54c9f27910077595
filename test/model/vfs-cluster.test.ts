import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FsError } from '../../src/base/errno.ts';
import { ROOT_INO } from '../../src/base/ids.ts';
import type { MetaClient } from '../../src/client/meta-client.ts';
import { Vfs } from '../../src/vfs/vfs.ts';
import { type BlockMap, MemoryBlockService } from '../support/memory-block-service.ts';
import { MetaCluster } from '../support/meta-cluster.ts';
import { TreeRun, type TreeWorld } from '../support/tree-run.ts';
import { type TreeStep, treeStep } from '../support/tree-steps.ts';
import { bytes, ROOT, SMALL } from '../support/vfs-fixture.ts';

/**
 * The same steps as in vfs-tree, through real metadata clients and servers, while answers are lost, leaders change, clients are
 * cut off and blocks are refused. Nothing of it may show: with time enough every operation gives what it gives without
 * trouble. With too little, it may fail; then it has been done, or it has not.
 */

const NAMES = ['x', 'y'];
const client = fc.nat(1);
const member = fc.nat(2);
const delayMs = fc.nat(20);
const trouble = fc.oneof(
  /** The next commit of a mount takes effect, but the answer does not arrive; its stream breaks. */
  fc.record({ trouble: fc.constant('loseAnswer' as const), client }),
  fc.record({ trouble: fc.constant('breakStream' as const), client, delayMs }),
  fc.record({ trouble: fc.constant('elect' as const), member, delayMs }),
  /** Nobody leads for a while. */
  fc.record({ trouble: fc.constant('depose' as const), member, delayMs, forMs: fc.nat(1500) }),
  /** What is proposed is applied, but the leader does not learn of it. */
  fc.record({ trouble: fc.constant('loseProposals' as const), member, delayMs }),
  fc.record({ trouble: fc.constant('cutOff' as const), client, forMs: fc.nat(8000) }),
  fc.record({ trouble: fc.constant('loseQuorumLease' as const), member }),
  fc.record({
    trouble: fc.constant('failPuts' as const),
    client,
    count: fc.nat(3),
    errno: fc.constantFrom('ENOSPC' as const, 'ETIMEDOUT' as const),
  }),
);
type Trouble = typeof trouble extends fc.Arbitrary<infer T> ? T : never;

interface Mount {
  readonly name: string;
  readonly vfs: Vfs;
  readonly meta: MetaClient;
  readonly blocks: MemoryBlockService;
}

class TroubledWorld implements TreeWorld {
  readonly cluster: MetaCluster;
  readonly #blocks: BlockMap = new Map();
  readonly #all: Mount[] = [];
  readonly #timeoutMs: number;
  /** Clients whose next answer to a commit is lost. */
  readonly #deaf = new Set<string>();
  #fences = 0;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.cluster = new MetaCluster({ latencyMs: () => 1 });
    this.cluster.network.onDeliver = (message) => {
      if (message.kind !== 'reply' || message.body.$case !== 'commit') return undefined;
      if (!this.#deaf.delete(message.to)) return undefined;
      this.#later(1, () => this.cluster.network.breakStreams(message.to));
      return false;
    };
    for (const name of NAMES) this.#mount(name);
  }

  get mounts(): readonly Vfs[] {
    return this.#all.slice(0, NAMES.length).map(({ vfs }) => vfs);
  }

  #mount(name: string): Mount {
    const { timers, logger } = this.cluster;
    const meta = this.cluster.client(name, { operationTimeoutMs: this.#timeoutMs });
    const blocks = new MemoryBlockService(this.#blocks);
    const vfs = new Vfs({ meta, blocks, timers, logger }, SMALL);
    const mount = { name, vfs, meta, blocks };
    this.#all.push(mount);
    return mount;
  }

  #later(delayMs: number, what: () => void): void {
    this.cluster.timers.after(delayMs, what);
  }

  wait<T>(work: Promise<T>): Promise<T> {
    return this.cluster.timers.resolve(work);
  }

  tick(): Promise<void> {
    return this.cluster.timers.advance(600);
  }

  async fresh(): Promise<Vfs> {
    return this.#mount('fresh').vfs;
  }

  async heal(): Promise<void> {
    const { network, members } = this.cluster;
    this.#deaf.clear();
    network.heal();
    for (const { replica } of members) replica.leaseOk = true;
    // Those that were to end of themselves.
    await this.cluster.timers.advance(2_000);
    if (this.cluster.leader === undefined) this.cluster.elect(0);
    // Nothing overtakes a commit that was sent: when this one is answered, what was before it is decided.
    for (const { vfs } of this.#all) await this.#fence(vfs);
  }

  async #fence(vfs: Vfs): Promise<void> {
    const [set, clear] = [bytes('user.fence'), bytes('user.fence')];
    for (let attempt = 0; ; attempt++) {
      try {
        await this.wait(vfs.setxattr(ROOT, ROOT_INO, set, bytes(`${this.#fences++}`), { flags: 0 }));
        return await this.wait(vfs.removexattr(ROOT, ROOT_INO, clear).catch(gone));
      } catch (error) {
        if (!(error instanceof FsError) || error.code !== 'ETIMEDOUT' || attempt > 20) throw error;
      }
    }
  }

  cause(t: Trouble): void {
    const { cluster } = this;
    const { network, members } = cluster;
    const addresses = members.map(({ address }) => address);
    switch (t.trouble) {
      case 'loseAnswer':
        this.#deaf.add(NAMES[t.client]!);
        break;
      case 'breakStream':
        this.#later(t.delayMs, () => network.breakStreams(NAMES[t.client]!));
        break;
      case 'elect':
        this.#later(t.delayMs, () => cluster.elect(t.member));
        break;
      case 'depose':
        this.#later(t.delayMs, () => cluster.depose());
        this.#later(t.delayMs + t.forMs, () => cluster.elect(t.member));
        break;
      case 'loseProposals': {
        const { leader } = cluster;
        leader?.replica.hold();
        this.#later(t.delayMs, () => {
          leader?.replica.releaseLost();
          cluster.elect(t.member);
        });
        break;
      }
      case 'cutOff':
        network.partition([NAMES[t.client]!], addresses);
        this.#later(t.forMs, () => network.heal());
        break;
      case 'loseQuorumLease': {
        const { replica } = cluster.member(t.member);
        replica.leaseOk = !replica.leaseOk;
        break;
      }
      case 'failPuts':
        for (let i = 0; i < t.count; i++) this.#all[t.client]!.blocks.failNextPut(new FsError(t.errno));
        break;
    }
  }

  async end(): Promise<void> {
    for (const { vfs, meta } of this.#all) {
      await this.wait(vfs.close());
      await this.wait(meta.close());
    }
  }
}

/** The other fence has removed it. */
function gone(error: unknown): void {
  if (!(error instanceof FsError) || error.code !== 'ENODATA') throw error;
}

const isTrouble = (step: TreeStep | Trouble): step is Trouble => 'trouble' in step;
const steps = fc.array(fc.oneof({ weight: 5, arbitrary: treeStep }, { weight: 1, arbitrary: trouble }), {
  minLength: 1,
  maxLength: 50,
});

/** Returns in how many cases an operation could not say what it had done. */
async function check(timeoutMs: number, numRuns: number): Promise<number> {
  let uncertain = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const world = new TroubledWorld(timeoutMs);
      const run = new TreeRun(world);
      for (const step of sequence) {
        if (isTrouble(step)) world.cause(step);
        else await run.step(step);
      }
      await world.heal();
      await run.finish();
      await world.end();
      uncertain += run.uncertain;
    }),
    {
      // A long hunt: MODEL_RUNS=100000 and another MODEL_SEED.
      numRuns: Number(process.env['MODEL_RUNS'] ?? numRuns),
      seed: Number(process.env['MODEL_SEED'] ?? 20_260_728),
    },
  );
  return uncertain;
}

describe('two mounts of a cluster in trouble agree with a tree in memory', () => {
  it('as if there were none, when there is time', async () => {
    assert.equal(await check(60_000, 100), 0);
  });

  it('and what fails has been done or not, when there is none', async () => {
    assert.ok((await check(700, 100)) > 0, 'the trouble was enough to make operations fail');
  });
});
