/** Which versions of one stored format a program reads. It writes the newest. */
export interface ReadableVersions {
  readonly oldest: number;
  readonly newest: number;
}

/**
 * The rule for everything that is stored (FORMAT.md, "Versions"): an older version is read, a newer one is refused, because what
 * it means can only be guessed. Undefined: it is readable.
 */
export function versionRefusal(
  found: number,
  { oldest, newest }: ReadableVersions,
): { readonly problem: string; readonly advice: string } | undefined {
  if (Number.isInteger(found) && found >= oldest && found <= newest) return undefined;
  const range = oldest === newest ? `version ${newest}` : `versions ${oldest} to ${newest}`;
  const problem = `has format version ${found}; this RingFS reads ${range}`;
  if (found > newest) return { problem, advice: 'use the newer RingFS that wrote it, or a still newer one' };
  return {
    problem,
    advice: 'upgrade through a RingFS in between, which reads it and writes a version that this one reads',
  };
}
