import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ringfs, TestCluster } from '../support/test-cluster.ts';

/** A cluster with three mounts, each a process of its own. */
export class MountedThrice {
  readonly cluster: TestCluster;
  readonly #driver: string;
  readonly #others: readonly string[];

  private constructor(cluster: TestCluster, driver: string, others: readonly string[]) {
    this.cluster = cluster;
    this.#driver = driver;
    this.#others = others;
  }

  static async start(driver: 'devfuse' | 'fuse-native' = 'devfuse'): Promise<MountedThrice> {
    const cluster = await TestCluster.start('--driver', driver);
    const others = ['second', 'third'].map((name) => mkdtempSync(path.join(tmpdir(), `ringfs-${name}-`)));
    const mounted = new MountedThrice(cluster, driver, others);
    try {
      for (const other of others) mounted.mountAgain(other);
    } catch (error) {
      await mounted.remove();
      throw error;
    }
    return mounted;
  }

  /** Mounts on one of the other directories; throws if that fails. */
  mountAgain(dir: string): void {
    const log = path.join(this.cluster.data, 'logs', `${path.basename(dir)}.log`);
    const options = `driver=${this.#driver},log=${log}`;
    const { status, stderr } = ringfs('mount', this.cluster.addresses.join(','), dir, '-o', options);
    if (status !== 0) throw new Error(`mount ${dir} failed: ${stderr}`);
  }

  get mounts(): readonly string[] {
    return [this.cluster.mount, ...this.#others];
  }

  /** Makes a directory, runs `work` with it as every mount shows it, and removes it. */
  async inDirectory(name: string, work: (dirs: readonly string[]) => Promise<void>): Promise<void> {
    const dirs = this.mounts.map((mount) => path.join(mount, name));
    await mkdir(path.join(this.cluster.mount, name));
    await work(dirs);
    await rm(path.join(this.cluster.mount, name), { recursive: true });
  }

  async remove(): Promise<void> {
    for (const other of this.#others) {
      // A failed case may still have something open there.
      if (ringfs('umount', other).status !== 0) ringfs('umount', '--lazy', other);
      rmSync(other, { recursive: true, force: true });
    }
    await this.cluster.remove();
  }
}
