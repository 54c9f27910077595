import assert from 'node:assert/strict';
import { type ErrnoName, errnoName } from '../../src/base/errno.ts';
import { dentryKey, inodeKey } from '../../src/core/namespace/keys.ts';
import { ATTR, DENTRY } from '../../src/core/namespace/rows.ts';
import type { ApplyOutcome } from '../../src/core/namespace/types.ts';
import type { Attr, Commit, CommitOk, Op } from '../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceMachine, type NamespaceMachineOptions } from './namespace-machine.ts';
import { bytes } from './namespace-ops.ts';

/** An initialised cluster with one session that commits op lists, one after the other. */
export class NamespaceFixture {
  readonly machine: NamespaceMachine;
  readonly session: number;
  sequence = 0;
  /** Seconds of the time of the next commit. */
  now = 1000;

  constructor(options: NamespaceMachineOptions = {}) {
    this.machine = new NamespaceMachine(options);
    const time = { sec: 1, nsec: 0 };
    const init = { clusterId: 'c', time, replicas: 3, formatVersion: 1 };
    this.machine.apply({ body: { $case: 'initCluster', value: init } });
    const open = { nonce: new Uint8Array(16), client: 'test', time };
    this.session = this.machine.apply({ body: { $case: 'openSession', value: open } }).value;
  }

  commit(ops: Op[], more: Partial<Commit> = {}): ApplyOutcome {
    this.sequence++;
    const value: Commit = {
      session: this.session,
      sequence: this.sequence,
      ackedBelow: this.sequence,
      time: { sec: this.now, nsec: 7 },
      preconditions: [],
      ops,
      assumedBlocks: [],
      ...more,
    };
    return this.machine.apply({ body: { $case: 'commit', value } });
  }

  ok(...ops: Op[]): CommitOk {
    const { body } = this.commit(ops).result;
    if (body?.$case !== 'ok') assert.fail(`refused: ${JSON.stringify(body)}`);
    return body.value;
  }

  /** The inode of the last op. */
  ino(...ops: Op[]): number {
    return this.ok(...ops).results.at(-1)!.ino;
  }

  /** The errno of a refused commit, or `ok`. A refused commit must not have changed any row but the session's. */
  errno(...ops: Op[]): ErrnoName | 'ok' {
    const before = this.rowsOfTree();
    const { body } = this.commit(ops).result;
    if (body?.$case === 'ok') return 'ok';
    if (body?.$case !== 'rejected') assert.fail(`unexpected: ${JSON.stringify(body)}`);
    assert.deepEqual(this.rowsOfTree(), before);
    return errnoName(body.value.errno);
  }

  rowsOfTree(): string[] {
    const { store } = this.machine;
    const rows = [
      ...store.scanSync({ gte: Uint8Array.of(0x01), lt: Uint8Array.of(0x30) }),
      ...store.scanSync({ gte: Uint8Array.of(0x40), lt: Uint8Array.of(0xff) }),
    ];
    return rows.map(([key, value]) => `${key.join()}=${value.join()}`);
  }

  attr(ino: number): Attr {
    const value = this.machine.store.getSync(inodeKey(ino));
    assert.ok(value, `inode ${ino} exists`);
    return ATTR.decode(value);
  }

  /** Writes an inode row past the state machine, to reach a limit that would take long to reach. */
  override(ino: number, changes: Partial<Attr>): void {
    const { view, store } = this.machine;
    view.write(inodeKey(ino), ATTR, { ...this.attr(ino), ...changes });
    store.writeSync(view.takeWrites());
  }

  exists(ino: number): boolean {
    return this.machine.store.getSync(inodeKey(ino)) !== undefined;
  }

  entry(parent: number, name: string): number | undefined {
    const value = this.machine.store.getSync(dentryKey(parent, bytes(name)));
    return value === undefined ? undefined : DENTRY.decode(value).ino;
  }

  reap(ino: number, chunksMax = 1000): ApplyOutcome {
    return this.machine.apply({ body: { $case: 'reapOrphan', value: { ino, chunksMax } } });
  }
}
