import { readFileSync, writeFileSync } from 'node:fs';

/** The version of the build that an upgrade goes to. */
export const NEXT_SUFFIX = '-next';

/** Writes the manifest of a build that is the same but for its version. */
export function writeNextManifest(from: string, to: string): void {
  const manifest = JSON.parse(readFileSync(from, 'utf8')) as { version: string };
  writeFileSync(to, JSON.stringify({ ...manifest, version: `${manifest.version}${NEXT_SUFFIX}` }));
}
