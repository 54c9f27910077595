import { get } from 'node:http';

/**
 * A program of its own, for containers: exit status 0 when the process that serves RINGFS_METRICS_LISTEN says that it is healthy. Without
 * the rest of the command, which takes ten times as long to load.
 */

const TIMEOUT_MS = 4_000;

function end(text: string, status: number): void {
  process.stdout.write(`${text.trim()}\n`);
  process.exitCode = status;
}

function check(listen: string): void {
  const at = listen.lastIndexOf(':');
  const host = listen.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const anywhere = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const request = get(
    { host: anywhere, port: listen.slice(at + 1), path: '/healthz', timeout: TIMEOUT_MS },
    (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => end(text, response.statusCode === 200 ? 0 : 1));
    },
  );
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
  request.on('error', (error) => end(`${listen}: ${error.message}`, 1));
}

const listen = process.env['RINGFS_METRICS_LISTEN'];
if (listen === undefined) end('RINGFS_METRICS_LISTEN is not set: there is nobody to ask', 1);
else check(listen);
