import type { HttpMethod, HttpReply, HttpRequest, HttpRoute, HttpService } from '../ports/http.ts';
import type { Logger } from '../ports/logger.ts';
import type { Health } from '../ports/metrics.ts';
import { GatewayContext, type Tree } from './context.ts';
import { failureOf, GatewayError } from './errors.ts';
import { checkOrigin } from './guard.ts';
import { failureReply, json } from './replies.ts';
import { deleteFile, makeDirectory, putFile, renameFile } from './routes/change.ts';
import { getFile, listDirectory, statFile } from './routes/read.ts';

export interface GatewayComponents {
  readonly logger: Logger;
  /** What `ringfs status --json` prints. */
  readonly cluster: () => Promise<unknown>;
  /** Whether the cluster can be used. */
  readonly health: () => Promise<Health>;
}

/** A part of the web page. */
export interface Asset {
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

export interface GatewayOptions {
  readonly uid: number;
  readonly gid: number;
  /** Names under which browsers may reach it, besides addresses and `localhost`. */
  readonly hosts: readonly string[];
  readonly uploadsMax: number;
  readonly downloadsMax: number;
  readonly assets: readonly Asset[];
}

type Handler = (context: GatewayContext, request: HttpRequest) => Promise<HttpReply>;

/** The page may run its own script and talk to where it came from, and nothing else; its script may not make HTML of text. */
const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
};

/** The tree of a cluster over HTTP: which request means what. */
export class Gateway implements HttpService {
  readonly context: GatewayContext;
  readonly routes: readonly HttpRoute[];
  readonly #components: GatewayComponents;
  readonly #hosts: readonly string[];
  /** Who asks while an answer is being made gets the same. */
  #asking: Promise<unknown> | undefined;

  constructor(components: GatewayComponents, options: GatewayOptions) {
    this.#components = components;
    this.#hosts = options.hosts.map((host) => host.toLowerCase());
    const limits = { uploads: options.uploadsMax, downloads: options.downloadsMax };
    this.context = new GatewayContext(options, limits);
    this.routes = [...this.#routes(), ...options.assets.map(assetRoute)];
  }

  /** From now on requests are answered; undefined: the cluster is looked for. */
  serve(tree: Tree | undefined): void {
    this.context.setTree(tree);
  }

  #routes(): HttpRoute[] {
    const route = (path: string, methods: readonly HttpMethod[], handler: Handler): HttpRoute => ({
      path,
      methods,
      handle: (request) => handler(this.context, request),
    });
    return [
      route('/v1/files/', ['GET', 'HEAD'], getFile),
      route('/v1/files/', ['PUT'], putFile),
      route('/v1/files/', ['DELETE'], deleteFile),
      route('/v1/list/', ['GET', 'HEAD'], listDirectory),
      route('/v1/stat/', ['GET', 'HEAD'], statFile),
      route('/v1/mkdir/', ['POST'], makeDirectory),
      route('/v1/rename', ['POST'], renameFile),
      { path: '/v1/cluster', methods: ['GET', 'HEAD'], handle: () => this.#cluster() },
      { path: '/healthz', methods: ['GET', 'HEAD'], handle: () => this.#health() },
    ];
  }

  admit(request: Pick<HttpRequest, 'method' | 'headers'>): void {
    checkOrigin(request, this.#hosts);
  }

  failure(thrown: unknown, path: string | undefined): HttpReply {
    const { status, code } = failureOf(thrown);
    if (status >= 500 && !(thrown instanceof GatewayError))
      this.#components.logger.warn({ path, code, err: thrown }, 'a request failed');
    return failureReply(thrown, path);
  }

  notFound(path: string, methods: readonly HttpMethod[]): HttpReply {
    const error =
      methods.length === 0
        ? new GatewayError('NOT_FOUND', 'there is nothing at this address; see docs/gateway.md')
        : new GatewayError('METHOD_NOT_ALLOWED', `use ${methods.join(', ')}`, { allow: methods.join(', ') });
    return failureReply(error, path);
  }

  async #cluster(): Promise<HttpReply> {
    this.#asking ??= this.#components.cluster().finally(() => {
      this.#asking = undefined;
    });
    return json(200, await this.#asking);
  }

  async #health(): Promise<HttpReply> {
    const { status, detail } = await this.#components.health();
    return {
      status: status === 'ok' ? 200 : 503,
      headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
      body: `${detail === '' ? status : `${status}: ${detail}`}\n`,
    };
  }
}

function assetRoute({ path, type, text }: Asset): HttpRoute {
  const reply = { status: 200, headers: { ...PAGE_HEADERS, 'content-type': type }, body: text };
  return { path, methods: ['GET', 'HEAD'], handle: () => Promise.resolve(reply) };
}
