import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Ino } from '../../src/base/ids.ts';
import { ROOT_INO } from '../../src/base/ids.ts';
import { Gateway, type GatewayOptions } from '../../src/gateway/gateway.ts';
import { HttpServer } from '../../src/io/http/http-server.ts';
import { SystemTimers } from '../../src/io/os/system-timers.ts';
import type { Health } from '../../src/ports/metrics.ts';
import { RecordingLogger } from './recording-logger.ts';
import { bytes, Cluster, createFile, type Mount, readPath } from './vfs-fixture.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** A gateway that listens, over a cluster in memory that can also be mounted. */
export class GatewayFixture {
  readonly cluster = new Cluster();
  /** Another client of the same cluster. */
  readonly other: Mount = this.cluster.mount();
  readonly own: Mount = this.cluster.mount();
  readonly logger = new RecordingLogger();
  readonly gateway: Gateway;
  readonly server: HttpServer;
  health: Health = { status: 'ok', detail: '' };
  clusterCalls = 0;
  port = 0;

  private constructor(options: Partial<GatewayOptions>) {
    const all = { uid: 0, gid: 0, hosts: [], uploadsMax: 4, downloadsMax: 4, assets: [], ...options };
    const cluster = (): Promise<unknown> => Promise.resolve({ health: 'ok', calls: ++this.clusterCalls });
    const health = (): Promise<Health> => Promise.resolve(this.health);
    this.gateway = new Gateway({ logger: this.logger, cluster, health }, all);
    this.gateway.serve({ meta: this.own.meta, files: this.own.vfs });
    this.server = new HttpServer({ logger: this.logger, timers: new SystemTimers() }, this.gateway);
  }

  static async start(options: Partial<GatewayOptions> = {}): Promise<GatewayFixture> {
    const fixture = new GatewayFixture(options);
    fixture.port = await fixture.server.listen('127.0.0.1:0');
    return fixture;
  }

  async close(): Promise<void> {
    await this.server.close();
  }

  /** A request of which the path is sent as it is. Not ended: for bodies in pieces. */
  open(path: string, { method = 'GET', headers = {} }: Asked = {}): ClientRequest {
    return httpRequest({ host: '127.0.0.1', port: this.port, path, method, headers, agent: false });
  }

  async ask(path: string, asked: Asked = {}): Promise<Answer> {
    const request = this.open(path, asked);
    const answer = answerOf(request);
    request.end(asked.body);
    return await answer;
  }

  /** JSON of an answer with this status. */
  async json<T>(path: string, asked: Asked = {}): Promise<T> {
    const { status, body } = await this.ask(path, asked);
    if (status >= 300) throw new Error(`status ${status}: ${body.toString()}`);
    return JSON.parse(body.toString()) as T;
  }

  put(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    return this.ask(`/v1/files/${path}`, { method: 'PUT', body, headers });
  }

  /** A file made by another client. */
  async otherWrites(name: string, content: string, parent: Ino = ROOT_INO): Promise<Ino> {
    const { vfs } = this.other;
    const { ino, handle } = await createFile(vfs, name, 2, parent);
    if (content !== '') await vfs.write(ino, handle, 0, bytes(content));
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
    return ino;
  }

  async otherReads(path: string): Promise<string> {
    return Buffer.from(await readPath(this.other.vfs, path)).toString();
  }

  /** Names in the root, as another client sees them. */
  async names(): Promise<string[]> {
    const { entries } = await this.other.meta.readdir(ROOT_INO, new Uint8Array(0), 1000, false);
    return entries.map(({ name }) => Buffer.from(name).toString());
  }
}

export function answerOf(request: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
    });
  });
}

export const errorOf = ({ status, body }: Answer): { status: number; code: string; path: string | null } => {
  const { error } = JSON.parse(body.toString()) as { error: { code: string; message: string; path: string } };
  return { status, code: error.code, path: error.path };
};
