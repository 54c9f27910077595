import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server } from '@grpc/grpc-js';
import { FLOW_CONTROL_WINDOW_BYTES } from '../../base/limits.ts';

/** The members of grpc-js's Server that have no public equivalent. */
interface ServerInternals {
  commonServerOptions?: { settings?: { initialWindowSize?: number } };
  http2Servers?: Map<Http2Server, unknown>;
}

/**
 * Raises the HTTP/2 receive windows of a server. grpc-js 1.14 has `grpc-node.flow_control_window` for clients only, and
 * with the 64 KiB default an upload waits for a window update after every 64 KiB (measured: less than half the throughput).
 * Returns false when grpc-js has changed inside and the default windows stay; everything works then, more slowly.
 */
export function raiseStreamWindow(server: Server): boolean {
  const options = (server as unknown as ServerInternals).commonServerOptions;
  if (options === undefined) return false;
  options.settings = { ...options.settings, initialWindowSize: FLOW_CONTROL_WINDOW_BYTES };
  return true;
}

/** The connection's own window; call after the port is bound. */
export function raiseConnectionWindow(server: Server): boolean {
  const servers = (server as unknown as ServerInternals).http2Servers;
  if (!(servers instanceof Map)) return false;
  for (const http2Server of servers.keys()) {
    http2Server.on('session', (session: ServerHttp2Session) => {
      session.setLocalWindowSize(FLOW_CONTROL_WINDOW_BYTES);
    });
  }
  return true;
}
