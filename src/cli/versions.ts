import { type ReadableVersions, versionRefusal } from '../base/format-version.ts';
import { CliError } from './cli-error.ts';

/** Looked at before the rest of a JSON file, which another version may write differently. Throws CliError. */
export function refuseVersion(file: string, raw: unknown, versions: ReadableVersions): void {
  const format = (raw as { format?: unknown } | null)?.format;
  if (typeof format !== 'number') return;
  const wrong = versionRefusal(format, versions);
  if (wrong !== undefined) throw new CliError(`${file} ${wrong.problem}`, wrong.advice);
}
