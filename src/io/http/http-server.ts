import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { FsError } from '../../base/errno.ts';
import {
  GATEWAY_CONNECTIONS_MAX,
  GATEWAY_HEADER_BYTES_MAX,
  GATEWAY_HEADERS_TIMEOUT_MS,
  GATEWAY_IDLE_TIMEOUT_MS,
  GATEWAY_LINGER_BYTES_MAX,
  GATEWAY_LINGER_MS,
  GATEWAY_STOP_TIMEOUT_MS,
} from '../../base/limits.ts';
import { RequestStats } from '../../base/request-stats.ts';
import type { Timers } from '../../ports/clock.ts';
import type { HttpMethod, HttpReply, HttpRequest, HttpRoute, HttpService } from '../../ports/http.ts';
import type { Logger } from '../../ports/logger.ts';
import { splitAddress } from './split-address.ts';

export interface HttpStats {
  /** By method and status. */
  readonly requests: ReturnType<RequestStats['snapshot']>;
  /** Of bodies. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly inFlight: number;
}

/** A client that went away before it had its answer; nginx has this number for it. */
const CLIENT_GONE = '499';

/** Serves an HttpService. All bodies are streams: nothing is held back but what sockets and pieces take. */
export class HttpServer {
  readonly #service: HttpService;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #app: FastifyInstance;
  readonly #stats = new RequestStats();
  #receivedBytes = 0;
  #sentBytes = 0;
  #inFlight = 0;
  #closing: Promise<void> | undefined;

  constructor(
    { logger, timers }: { readonly logger: Logger; readonly timers: Timers },
    service: HttpService,
  ) {
    this.#service = service;
    this.#logger = logger;
    this.#timers = timers;
    this.#app = fastify({
      exposeHeadRoutes: false,
      // An upload takes as long as it takes; a connection on which nothing moves is closed.
      requestTimeout: 0,
      connectionTimeout: GATEWAY_IDLE_TIMEOUT_MS,
      forceCloseConnections: 'idle',
      http: { maxHeaderSize: GATEWAY_HEADER_BYTES_MAX, headersTimeout: GATEWAY_HEADERS_TIMEOUT_MS },
      routerOptions: { maxParamLength: 3 * GATEWAY_HEADER_BYTES_MAX },
      rewriteUrl: keepEncoding,
    });
    this.#app.server.maxConnections = GATEWAY_CONNECTIONS_MAX;
    this.#app.removeAllContentTypeParsers();
    this.#app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    this.#app.setErrorHandler((error, request, reply) => {
      this.#send(reply, this.#service.failure(refusedOr(error), pathOf(request.raw)));
    });
    this.#app.setNotFoundHandler((request, reply) => {
      const path = pathOf(request.raw);
      this.#send(reply, this.#service.notFound(path, this.#methodsOf(path)));
    });
    this.#app.addHook('onRequest', (request, reply, done) => {
      this.#count(request, reply);
      // Files are bytes: whatever a client calls them is no reason to refuse them.
      delete request.raw.headers['content-type'];
      done();
    });
    for (const route of service.routes) this.#add(route);
  }

  stats(): HttpStats {
    return {
      requests: this.#stats.snapshot(),
      receivedBytes: this.#receivedBytes,
      sentBytes: this.#sentBytes,
      inFlight: this.#inFlight,
    };
  }

  /** Returns the port, which differs from the given one only for port 0. Rejects with what the system says of the address. */
  async listen(address: string): Promise<number> {
    await this.#app.listen(splitAddress(address));
    return (this.#app.server.address() as AddressInfo).port;
  }

  /** Takes no more requests, and gives those under way a while to end. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close(this.#app.server);
    return this.#closing;
  }

  async #close(server: Server): Promise<void> {
    const limit = this.#timers.after(GATEWAY_STOP_TIMEOUT_MS, () => {
      this.#logger.warn({ inFlight: this.#inFlight }, 'requests under way are cut off');
      server.closeAllConnections();
    });
    await this.#app.close();
    limit.cancel();
  }

  #add({ path, methods, handle }: HttpRoute): void {
    this.#app.route({
      method: [...methods],
      url: path.endsWith('/') && path !== '/' ? `${path}*` : path,
      handler: async (request, reply) => {
        this.#send(reply, await this.#answer(request, reply, handle));
        return reply;
      },
    });
  }

  async #answer(
    request: FastifyRequest,
    reply: FastifyReply,
    handle: HttpRoute['handle'],
  ): Promise<HttpReply> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    try {
      const asked = this.#requestOf(request, gone.signal);
      this.#service.admit(asked);
      return await handle(asked);
    } catch (thrown) {
      return this.#service.failure(thrown, pathOf(request.raw));
    }
  }

  #requestOf(request: FastifyRequest, signal: AbortSignal): HttpRequest {
    const query = new URLSearchParams(queryOf(request.raw));
    const headers: Record<string, string | undefined> = {};
    for (const [name, value] of Object.entries(request.headers))
      headers[name] = Array.isArray(value) ? value.join(', ') : value;
    return {
      method: request.method as HttpMethod,
      rest: (request.params as Readonly<Record<string, string>>)['*'] ?? '',
      query: Object.fromEntries([...query.keys()].map((name) => [name, query.get(name) ?? ''])),
      headers,
      body: this.#received(request.raw),
      signal,
    };
  }

  async *#received(raw: IncomingMessage): AsyncGenerator<Uint8Array, void> {
    // Destroyed, it would take the connection with it, and the answer that says why no more is wanted.
    for await (const data of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      this.#receivedBytes += data.length;
      yield data;
    }
  }

  #send(reply: FastifyReply, { status, headers = {}, body }: HttpReply): void {
    const { raw } = reply;
    void reply.code(status).headers(headers);
    if (!reply.request.raw.complete) raw.once('finish', () => this.#linger(reply.request.raw));
    if (body === undefined || typeof body === 'string') {
      this.#sentBytes += reply.request.method === 'HEAD' ? 0 : Buffer.byteLength(body ?? '');
      void reply.send(body);
      return;
    }
    const close = (): void => {
      body.close().catch((error: unknown) => this.#logger.warn({ err: error }, 'a file was not closed'));
    };
    if (raw.closed || raw.destroyed) close();
    else raw.once('close', close);
    void reply.send(Readable.from(this.#sent(body), { objectMode: false, highWaterMark: 0 }));
  }

  /**
   * An answer was sent before the body had arrived. If the connection were closed at once, the client would see that and not the
   * answer: so what it sends is taken and dropped, but not for ever (RFC 9112, 9.6).
   */
  #linger(request: IncomingMessage): void {
    if (request.destroyed) return;
    const { socket } = request;
    const limit = this.#timers.after(GATEWAY_LINGER_MS, () => socket.destroy());
    let left = GATEWAY_LINGER_BYTES_MAX;
    request.on('data', (data: Uint8Array) => {
      left -= data.length;
      if (left < 0) socket.destroy();
    });
    request.on('error', () => undefined);
    request.once('close', () => limit.cancel());
    request.once('end', () => limit.cancel());
    request.resume();
  }

  async *#sent(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const data of body) {
      this.#sentBytes += data.length;
      yield data;
    }
  }

  #count({ raw: { method } }: FastifyRequest, { raw }: FastifyReply): void {
    const startMs = this.#timers.nowMs();
    this.#inFlight++;
    raw.once('close', () => {
      this.#inFlight--;
      const outcome = raw.writableFinished ? String(raw.statusCode) : CLIENT_GONE;
      this.#stats.note(knownMethod(method), this.#timers.nowMs() - startMs, outcome);
    });
  }

  #methodsOf(path: string): HttpMethod[] {
    const matches = (route: HttpRoute): boolean =>
      route.path === path || (route.path.endsWith('/') && route.path !== '/' && path.startsWith(route.path));
    return [...new Set(this.#service.routes.filter(matches).flatMap(({ methods }) => methods))];
  }
}

/** What the library says of a request that it does not take, as the invalid argument that it is. */
function refusedOr(error: unknown): unknown {
  const { statusCode, message } = error as { readonly statusCode?: number; readonly message?: string };
  return statusCode !== undefined && statusCode < 500 ? new FsError('EINVAL', message) : error;
}

const METHODS: ReadonlySet<string> = new Set<HttpMethod>(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);

/** For counting: a client could invent as many as it likes. */
const knownMethod = (method: string | undefined): string =>
  method !== undefined && METHODS.has(method) ? method : 'other';

/** As it was sent, without the query. */
const pathOf = ({ originalUrl, url = '' }: IncomingMessage & { originalUrl?: string }): string =>
  (originalUrl ?? url).split('?', 1)[0] ?? '';

function queryOf({ url = '' }: IncomingMessage): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

/** The router decodes paths as UTF-8, which names need not be: it is given one that decodes to what was sent. */
function keepEncoding({ url = '' }: { readonly url?: string | undefined }): string {
  const at = url.indexOf('?');
  const end = at < 0 ? url.length : at;
  return url.slice(0, end).replaceAll('%', '%25') + url.slice(end);
}
