const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process uses the port',
  EADDRNOTAVAIL: 'the address is not of this machine',
  EACCES: 'ports below 1024 are for root',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be looked up',
};

/** Why an address cannot be listened on, in words. */
export function listenReason(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}
