import { asFsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { MetaClient } from '../../../src/client/meta-client.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { Chunk, CommitOk, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import type { RpcConnector } from '../../../src/ports/rpc.ts';
import type { FileInput, FileOutput } from '../../support/file-model.ts';
import {
  append,
  bytes,
  inline,
  link,
  mkfile,
  rename,
  text,
  truncate,
  unlink,
  write,
} from '../../support/namespace-ops.ts';
import { SimLogger, SimProcess } from '../harness/world.ts';
import type { ClusterChecks } from './checks.ts';
import type { Histories } from './histories.ts';
import { LockUser } from './lock-user.ts';
import type { SimWorld } from './world.ts';

/** What a file system that others change may answer. Anything else leaves open whether a change took effect. */
const ANSWERS: ReadonlySet<string> = new Set(['ENOENT', 'EEXIST', 'ESTALE']);
const EMPTY = new Uint8Array(0);

export interface SimClientComponents {
  readonly world: SimWorld;
  readonly checks: ClusterChecks;
  readonly histories: Histories;
  readonly connector: (name: string) => RpcConnector<MetaRequest, MetaReply>;
  readonly processes: Map<string, SimProcess>;
}

export interface SimClientOptions {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly clusterId: string;
}

/** Where the operations of all clients happen. */
export interface Playground {
  /** Numbers of the directories by name. */
  readonly directories: Map<string, Ino>;
  /** Files that somebody has seen, by group; the last ones. */
  readonly files: string[][];
  readonly lockFiles: Ino[];
}

const FILES_KNOWN = 6;

/** One life of a client machine: the real client, and callers that use it. */
export class SimClient {
  readonly name: string;
  readonly process: SimProcess;
  readonly client: MetaClient;
  readonly locks: LockUser;
  readonly #c: SimClientComponents;
  readonly #playground: Playground;
  readonly #random: Random;
  #running = 0;
  #operations = 0;

  constructor(components: SimClientComponents, options: SimClientOptions, playground: Playground) {
    const { world, processes } = components;
    const { name } = options;
    this.#c = components;
    this.#playground = playground;
    this.name = name;
    this.#random = world.random(`client ${name}`);
    const { drift } = world.options;
    const rate = 1 + (this.#random.next() * 2 - 1) * drift;
    this.process = new SimProcess(world, name, { rate, wallMs: this.#random.below(1000) });
    processes.set(name, this.process);
    this.client = new MetaClient(
      {
        connector: components.connector(name),
        timers: this.process,
        random: world.random(`meta client ${name}`),
        logger: new SimLogger(this.process),
      },
      {
        addresses: options.addresses,
        clientName: name,
        clusterId: options.clusterId,
        operationTimeoutMs: world.options.operationTimeoutMs,
      },
    );
    this.locks = new LockUser(
      { ...components, client: this.client, process: this.process, random: world.random(`locks ${name}`) },
      name,
    );
  }

  /** Callers that have not finished. */
  get running(): number {
    return this.#running;
  }

  /** Starts the callers; they end when the world is being mended. */
  start(fibers: number): void {
    for (let i = 0; i < fibers; i++) {
      this.#running += 1;
      this.#fiber(`${this.name}/${i}`).then(
        () => {
          this.#running -= 1;
        },
        (error: unknown) => this.#c.histories.broken(this.name, error),
      );
    }
  }

  /** Nothing of this client happens any more. */
  kill(): void {
    this.process.alive = false;
    this.#c.processes.delete(this.name);
    this.locks.died();
  }

  async #fiber(who: string): Promise<void> {
    const { world } = this.#c;
    const { thinkMs, locking } = world.options;
    while (!world.healing) {
      await this.process.sleep(this.#random.next() * 2 * thinkMs);
      if (world.healing) return;
      const { lockFiles } = this.#playground;
      if (this.#random.next() < locking) {
        await this.locks.use(this.#pick(lockFiles), who);
      } else {
        const group = this.#random.below(world.options.groups);
        await this.perform(group, this.#choose(group), who);
      }
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!;
  }

  #choose(group: number): FileInput {
    const random = this.#random;
    const directory = (): string => `g${group}${random.below(2) === 0 ? 'a' : 'b'}`;
    const path = (): string => `${directory()}/n${random.below(this.#c.world.options.names)}`;
    const files = this.#playground.files[group]!;
    const dice = files.length === 0 ? random.below(30) : random.below(100);
    const operation = `${this.name}.${++this.#operations}`;
    if (dice < 16) return { kind: 'create', path: path(), id: operation };
    if (dice < 24) return { kind: 'lookup', path: path() };
    if (dice < 30) return { kind: 'list', directory: directory() };
    if (dice < 40) return { kind: 'lookup', path: path() };
    if (dice < 50) return { kind: 'unlink', path: path() };
    if (dice < 60) {
      const mode = this.#pick(['replace', 'replace', 'noreplace', 'exchange'] as const);
      return { kind: 'rename', from: path(), to: path(), mode };
    }
    const file = this.#pick(files);
    if (dice < 66) return { kind: 'link', file, path: path() };
    if (dice < 72) return { kind: 'write', file, text: `<${operation}>` };
    if (dice < 82) return { kind: 'append', file, text: `(${operation})` };
    if (dice < 90) return { kind: 'stat', file };
    return { kind: 'read', file };
  }

  /** One operation, with its place in the history. */
  async perform(group: number, input: FileInput, who: string): Promise<FileOutput | undefined> {
    const { histories, world } = this.#c;
    const open = histories.begin(`files ${group}`, who, input);
    try {
      const { output, hint } = await this.#execute(input);
      open.end(output, hint);
      if (output.ok) this.#learn(group, output);
      return output;
    } catch (error) {
      const { code } = asFsError(error);
      if (ANSWERS.has(code)) {
        const output = { ok: false, error: code } as const;
        open.end(output);
        return output;
      }
      const reads = ['lookup', 'list', 'stat', 'read'].includes(input.kind);
      world.trace(`${who} ${input.kind} fails: ${code}`);
      if (reads) open.forget();
      else open.unknown();
      return undefined;
    }
  }

  #learn(group: number, output: Extract<FileOutput, { ok: true }>): void {
    const files = this.#playground.files[group]!;
    for (const file of [output.file, ...(output.entries ?? []).map(([, entry]) => entry)]) {
      if (file === undefined || files.includes(file)) continue;
      files.push(file);
      if (files.length > FILES_KNOWN) files.shift();
    }
  }

  async #execute(input: FileInput): Promise<{ readonly output: FileOutput; readonly hint?: number }> {
    switch (input.kind) {
      case 'lookup': {
        const { parent, name } = this.#place(input.path);
        const attr = await this.client.lookup(parent, name);
        return { output: attr === undefined ? { ok: true } : { ok: true, file: String(attr.ino) } };
      }
      case 'list':
        return { output: { ok: true, entries: await this.#list(input.directory) } };
      case 'stat': {
        const { nlink, size } = await this.client.getattr(Number(input.file) as Ino);
        return { output: { ok: true, links: nlink, size } };
      }
      case 'read': {
        const layout = await this.client.getChunks(Number(input.file) as Ino, 0, 1);
        return { output: { ok: true, text: contentOf(layout.attr.size, layout.chunks) } };
      }
      default: {
        const ok = await this.commit(this.#ops(input));
        return { output: outputOf(input, ok), hint: ok.index };
      }
    }
  }

  async #list(directory: string): Promise<[string, string][]> {
    const ino = this.#directory(directory);
    const page = await this.client.readdir(ino, EMPTY, 100, this.#random.below(2) === 0);
    return page.entries.map((entry) => [text(entry.name), String(entry.ino)]);
  }

  /** Throws FsError. */
  async commit(ops: readonly Op[]): Promise<CommitOk & { readonly index: number }> {
    const ok = await this.client.commit(ops);
    this.#c.checks.acknowledged(this.name, ok.index);
    return ok;
  }

  #ops(input: Exclude<FileInput, { kind: 'lookup' | 'list' | 'stat' | 'read' }>): Op[] {
    switch (input.kind) {
      case 'create': {
        const { parent, name } = this.#place(input.path);
        return [mkfile(parent, text(name))];
      }
      case 'unlink': {
        const { parent, name } = this.#place(input.path);
        return [unlink(parent, text(name))];
      }
      case 'link': {
        const { parent, name } = this.#place(input.path);
        return [link(Number(input.file), parent, text(name))];
      }
      case 'rename': {
        const [from, to] = [this.#place(input.from), this.#place(input.to)];
        const flags = { replace: 0, noreplace: 1, exchange: 2 }[input.mode];
        return [rename(from.parent, text(from.name), to.parent, text(to.name), flags)];
      }
      case 'write': {
        const ino = Number(input.file);
        return [truncate(ino, 0), write(ino, [inline(0, input.text)])];
      }
      default:
        return [append(Number(input.file), [inline(0, input.text)])];
    }
  }

  #directory(name: string): Ino {
    return this.#playground.directories.get(name)!;
  }

  #place(path: string): { readonly parent: Ino; readonly name: Uint8Array } {
    const [directory = '', name = ''] = path.split('/');
    return { parent: this.#directory(directory), name: bytes(name) };
  }
}

function outputOf(input: FileInput, { results }: CommitOk): FileOutput {
  const result = results[0];
  switch (input.kind) {
    case 'write':
      return { ok: true };
    case 'append':
      return { ok: true, offset: result?.offset ?? -1 };
    default:
      return { ok: true, file: String(result?.ino) };
  }
}

/** All content is small and travels inline. */
function contentOf(size: number, chunks: readonly Chunk[]): string {
  const content = new Uint8Array(size).fill('_'.charCodeAt(0));
  for (const { extents } of chunks) for (const { inline: data, offset } of extents) content.set(data, offset);
  return text(content);
}
