/** HTTP as the gateway sees it: routes that answer requests. What listens, and with which library, is not its business. */

export type HttpMethod = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

export interface HttpRequest {
  readonly method: HttpMethod;
  /** What the URL has after the route's path and before `?`, percent-encoded as it came. */
  readonly rest: string;
  /** Decoded. A parameter without a value is there, and empty. The first of several of the same name. */
  readonly query: Readonly<Record<string, string | undefined>>;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Rejects when the client goes away before all of it was there. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

/** A body that is made while it is sent. Iterated at most once. */
export interface HttpStream extends AsyncIterable<Uint8Array> {
  /** Called once, when the answer has been sent or the client has gone, also if nothing was iterated. */
  close(): Promise<void>;
}

export interface HttpReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | HttpStream;
}

export interface HttpRoute {
  readonly methods: readonly HttpMethod[];
  /** One that ends with `/` has everything below it, but for `/` itself. */
  readonly path: string;
  handle(request: HttpRequest): Promise<HttpReply>;
}

/** What an HTTP server serves. */
export interface HttpService {
  readonly routes: readonly HttpRoute[];
  /** Before a request is handled. Throws for one that is refused. */
  admit(request: Pick<HttpRequest, 'method' | 'headers'>): void;
  /** How a failure is told. `path`: of the URL, if there is one. */
  failure(thrown: unknown, path: string | undefined): HttpReply;
  /** `methods` is empty when there is no such path, else those that there are for it. */
  notFound(path: string, methods: readonly HttpMethod[]): HttpReply;
}
