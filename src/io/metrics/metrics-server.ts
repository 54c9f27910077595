import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { METRICS_CONNECTIONS_MAX, METRICS_REQUEST_TIMEOUT_MS } from '../../base/limits.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Health, MetricsSource } from '../../ports/metrics.ts';
import { splitAddress } from '../http/split-address.ts';
import { PrometheusText } from './prometheus.ts';

const STARTING: MetricsSource = {
  metrics: () => Promise.resolve([]),
  health: () => Promise.resolve({ status: 'starting', detail: '' }),
};

/** GET /metrics for Prometheus, GET /healthz for whoever only wants to know: 200 when all is well, else 503, and why. */
export class MetricsServer {
  readonly #logger: Logger;
  readonly #server: Server;
  readonly #text = new PrometheusText();
  #source = STARTING;
  /** Who asks while an answer is being made gets the same. */
  #rendering: Promise<string> | undefined;

  constructor({ logger }: { readonly logger: Logger }) {
    this.#logger = logger;
    this.#server = createServer((request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      const answer = this.#answers.get(path);
      if (answer === undefined) send(response, 404, 'there is /metrics and /healthz\n');
      else if (request.method !== 'GET' && request.method !== 'HEAD') send(response, 405, 'only GET\n');
      else
        answer(response).catch((error: unknown) => {
          this.#logger.warn({ err: error, path }, 'metrics could not be told');
          send(response, 500, `${(error as Error).message}\n`);
        });
    });
    this.#server.maxConnections = METRICS_CONNECTIONS_MAX;
    this.#server.requestTimeout = METRICS_REQUEST_TIMEOUT_MS;
    this.#server.headersTimeout = METRICS_REQUEST_TIMEOUT_MS;
  }

  readonly #answers: ReadonlyMap<string, (response: ServerResponse) => Promise<void>> = new Map([
    ['/metrics', (response) => this.#metrics(response)],
    ['/healthz', (response) => this.#health(response)],
  ]);

  /**
   * Until `serve` is called, it says that the process starts. Returns the port, which differs from the given one only for port 0.
   * Rejects with what the system says of the address.
   */
  async listen(address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(splitAddress(address), () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', (error) => this.#logger.warn({ err: error }, 'the metrics listener failed'));
    return (this.#server.address() as AddressInfo).port;
  }

  serve(source: MetricsSource): void {
    this.#source = source;
  }

  async #metrics(response: ServerResponse): Promise<void> {
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = undefined;
    });
    send(response, 200, await this.#rendering, this.#text.contentType);
  }

  async #render(): Promise<string> {
    return await this.#text.render(await this.#source.metrics());
  }

  async #health(response: ServerResponse): Promise<void> {
    const { status, detail }: Health = await this.#source.health();
    send(response, status === 'ok' ? 200 : 503, `${detail === '' ? status : `${status}: ${detail}`}\n`);
  }

  /** Ends all connections. Idempotent. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function send(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8') {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
