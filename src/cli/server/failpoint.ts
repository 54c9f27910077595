import { FAILPOINTS, type Failpoint, type FailpointName } from '../../meta/raft/failpoint.ts';
import { usageError } from '../cli-error.ts';

/** For tests only: RINGFS_FAILPOINT=NAME[:COUNT[:ROLE]] lets a server kill itself at a named moment. */
export interface FailpointSpec {
  readonly name: FailpointName;
  /** It dies when it passes there for the `count`-th time. */
  readonly count: number;
  /** Only passages in this role count. */
  readonly role: 'leader' | 'follower' | undefined;
}

export const FAILPOINT_VARIABLE = 'RINGFS_FAILPOINT';

/** Undefined when nothing is set. Throws CliError for anything but a failpoint: a test must not test nothing. */
export function parseFailpoint(text: string | undefined): FailpointSpec | undefined {
  if (text === undefined) return undefined;
  const [name, count = '1', role, ...more] = text.split(':');
  const known = FAILPOINTS.find((each) => each === name);
  const isRole = role === undefined || role === 'leader' || role === 'follower';
  if (known === undefined || !/^[1-9]\d{0,5}$/.test(count) || !isRole || more.length > 0) {
    throw usageError(
      `${FAILPOINT_VARIABLE}: '${text}' is not a failpoint`,
      `it is for tests and kills the server: unset it, or write NAME[:COUNT[:leader|follower]] with a NAME of ${FAILPOINTS.join(', ')}`,
    );
  }
  return { name: known, count: Number(count), role };
}

/** Calls `die` when it is time. */
export function failpointOf(spec: FailpointSpec, isLeader: () => boolean, die: () => void): Failpoint {
  let passed = 0;
  return (name) => {
    if (name !== spec.name) return;
    if (spec.role !== undefined && (spec.role === 'leader') !== isLeader()) return;
    passed++;
    if (passed === spec.count) die();
  };
}
