/** The cluster that a scenario needs. */
export interface ClusterSpec {
  /** Servers with metadata and blocks: s1, s2, ... */
  readonly metas: number;
  /** Servers with blocks only: b1, b2, ... */
  readonly blocks: number;
  /** Machines without a server, for scenarios that add some: x1, x2, ... */
  readonly spares: number;
  /** m1, m2, ... */
  readonly mounts: number;
  /** Of every server, beside those that place it. */
  readonly serverFlags: readonly string[];
  /** Size of each server's volume. Undefined: what the machine has. */
  readonly volumeMegabytes: number | undefined;
  /** Whether servers have clocks that can be set. */
  readonly clocks: boolean;
}

export const CLUSTER_DEFAULT: ClusterSpec = {
  metas: 3,
  blocks: 0,
  spares: 0,
  mounts: 2,
  serverFlags: [],
  volumeMegabytes: undefined,
  clocks: false,
};

export const PORT = 7400;

type MachineKind = 'meta' | 'block' | 'spare' | 'mount';

export interface Machine {
  readonly name: string;
  readonly kind: MachineKind;
  /** The last byte of its address. */
  readonly host: number;
}

const KINDS: readonly (readonly [MachineKind, prefix: string, host: number])[] = [
  ['meta', 's', 10],
  ['block', 'b', 30],
  ['spare', 'x', 50],
  ['mount', 'm', 70],
];

export function machinesOf({ metas, blocks, spares, mounts }: ClusterSpec): readonly Machine[] {
  const counts: Readonly<Record<MachineKind, number>> = {
    meta: metas,
    block: blocks,
    spare: spares,
    mount: mounts,
  };
  return KINDS.flatMap(([kind, prefix, host]) =>
    Array.from({ length: counts[kind] }, (_, i) => ({ name: `${prefix}${i + 1}`, kind, host: host + i + 1 })),
  );
}
