import { checkNamespace, type NamespaceSums } from '../../src/core/namespace/check/check-namespace.ts';
import type { Finding } from '../../src/core/namespace/check/finding.ts';
import type { RowSource } from '../../src/core/namespace/types.ts';
import { MemoryKvStore } from './memory-kv-store.ts';

/** What `ringfs meta check` would say of these rows. */
export async function namespaceFindings(
  source: RowSource,
): Promise<{ readonly findings: Finding[]; readonly sums: NamespaceSums }> {
  const findings: Finding[] = [];
  const sums = await checkNamespace(source, new MemoryKvStore(), (finding) => findings.push(finding));
  return { findings, sums };
}
