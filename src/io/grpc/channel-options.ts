import { type ChannelOptions, logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import {
  FLOW_CONTROL_WINDOW_BYTES,
  MESSAGE_BYTES_MAX,
  STREAMS_PER_CONNECTION_MAX,
} from '../../base/limits.ts';

// What goes wrong is told by errors; grpc-js would also print it on standard error, past the log.
if (process.env['GRPC_VERBOSITY'] === undefined) setLogVerbosity(logVerbosity.NONE);

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
  'grpc-node.max_session_memory': Number.MAX_SAFE_INTEGER,
  // A peer whose machine vanished without a FIN is noticed by HTTP/2 pings.
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 1,
};

export const SERVER_OPTIONS: ChannelOptions = {
  ...CHANNEL_OPTIONS,
  'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION_MAX,
};

/** Clients: every connection has its own socket, and reconnecting is the caller's business. */
export const CLIENT_OPTIONS: ChannelOptions = {
  ...CHANNEL_OPTIONS,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.enable_http_proxy': 0,
};
