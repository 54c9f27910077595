import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials } from '@grpc/grpc-js';
import { until } from '../support/test-cluster.ts';

/** The two calls of etcd's v3 API that are needed, by field number: Put {key = 1, value = 2} and Status {header.member_id, leader = 4}. */
const PUT = '/etcdserverpb.KV/Put';
const STATUS = '/etcdserverpb.Maintenance/Status';
const STATUS_HEADER = 1;
const HEADER_MEMBER = 2;
const STATUS_LEADER = 4;

const put = ({ key, value }: { readonly key: Uint8Array; readonly value: Uint8Array }): Buffer =>
  Buffer.from(new BinaryWriter().uint32(10).bytes(key).uint32(18).bytes(value).finish());

interface EtcdStatus {
  member: bigint;
  leader: bigint;
}

function decodeStatus(bytes: Uint8Array): EtcdStatus {
  const status = { member: 0n, leader: 0n };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === STATUS_HEADER) {
      const header = new BinaryReader(reader.bytes());
      while (header.pos < header.len) {
        const [inner, innerType] = header.tag();
        if (inner === HEADER_MEMBER) status.member = BigInt(header.uint64());
        else header.skip(innerType);
      }
    } else if (field === STATUS_LEADER) status.leader = BigInt(reader.uint64());
    else reader.skip(type);
  }
  return status;
}

/** One connection to one member. */
export class EtcdClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure());
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
      this.#client.makeUnaryRequest(PUT, put, () => undefined, { key, value }, done);
    });
  }

  status(): Promise<EtcdStatus> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + 2_000;
      this.#client.makeUnaryRequest(
        STATUS,
        () => Buffer.alloc(0),
        decodeStatus,
        undefined,
        { deadline },
        (error: Error | null, status?: EtcdStatus) => {
          if (error === null && status !== undefined) resolve(status);
          else reject(error ?? new Error('no status'));
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** Three members with etcd's defaults: every entry is synced before it is acknowledged. */
export class EtcdCluster {
  readonly #root: string;
  readonly #ports: readonly number[];
  readonly #processes: ChildProcess[] = [];
  readonly #binary: string;

  constructor(binary: string, options: { readonly basePort: number; readonly directory: string }) {
    this.#binary = binary;
    this.#root = mkdtempSync(path.join(options.directory, 'etcd-bench-'));
    this.#ports = [0, 1, 2].map((at) => options.basePort + 2 * at);
  }

  start(): void {
    const peer = (port: number): string => `http://127.0.0.1:${port + 1}`;
    const cluster = this.#ports.map((port, at) => `e${at + 1}=${peer(port)}`).join(',');
    for (const [at, port] of this.#ports.entries()) {
      const client = `http://127.0.0.1:${port}`;
      const flags = {
        name: `e${at + 1}`,
        'data-dir': path.join(this.#root, `e${at + 1}`),
        'listen-client-urls': client,
        'advertise-client-urls': client,
        'listen-peer-urls': peer(port),
        'initial-advertise-peer-urls': peer(port),
        'initial-cluster': cluster,
        'log-level': 'fatal',
      };
      const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
      this.#processes.push(spawn(this.#binary, args, { stdio: ['ignore', 'ignore', 'ignore'] }));
    }
  }

  /** A connection to the leader. */
  leader(): Promise<EtcdClient> {
    return until('etcd has a leader', async () => {
      for (const port of this.#ports) {
        const client = new EtcdClient(`127.0.0.1:${port}`);
        const status = await client.status().catch(() => undefined);
        if (status !== undefined && status.leader !== 0n && status.leader === status.member) return client;
        client.close();
      }
      return undefined;
    });
  }

  async close(): Promise<void> {
    for (const child of this.#processes) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    rmSync(this.#root, { recursive: true, force: true });
  }
}
