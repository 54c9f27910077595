import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { PACE_BYTES_MAX, PACE_MS } from '../../../../src/base/limits.ts';
import { NO_MEMBERS } from '../../../../src/core/raft/conf-change.ts';
import { createMessage } from '../../../../src/core/raft/messages.ts';
import { EntryType, type RaftMessage, RaftMessageType } from '../../../../src/gen/ringfs/v1/raft.ts';
import { Pacer } from '../../../../src/meta/raft/pacer.ts';
import { SteppedTimers } from '../../../support/stepped-timers.ts';

const TERM = 3;
const id = (name: string): ServerId => name as ServerId;

/** A pacer at s1 that leads, and what it sent, as `to: first-last`. */
class Leader {
  readonly timers = new SteppedTimers();
  readonly sent: string[] = [];
  readonly pacer: Pacer;
  readonly peers: readonly string[];
  last = 0;

  constructor(voters = ['s1', 's2', 's3'], learners: readonly string[] = []) {
    const send = (messages: readonly RaftMessage[]): void => {
      for (const message of messages) this.sent.push(shown(message));
    };
    this.pacer = new Pacer({ timers: this.timers, send }, id('s1'));
    this.pacer.configure({ ...NO_MEMBERS, voters, learners: [...learners] });
    this.peers = [...voters, ...learners].filter((peer) => peer !== 's1');
  }

  /** Appends one entry and sends it to all. */
  append(bytes = 10): void {
    this.last++;
    this.pacer.send(this.peers.map((to) => append(to, this.last, bytes)));
  }

  answer(from: string, index = this.last): void {
    const message = createMessage(RaftMessageType.APPEND_RESPONSE, id(from), id('s1'), TERM);
    this.pacer.onReceive({ ...message, index });
  }

  take(): string[] {
    return this.sent.splice(0);
  }
}

function append(to: string, index: number, bytes: number): RaftMessage {
  const message = createMessage(RaftMessageType.APPEND, id('s1'), id(to), TERM);
  const entry = { index, term: TERM, type: EntryType.NORMAL, data: new Uint8Array(bytes) };
  return { ...message, index: index - 1, logTerm: TERM, commit: index - 1, entries: [entry] };
}

function shown({ type, to, entries, commit }: RaftMessage): string {
  if (type === RaftMessageType.HEARTBEAT) return `${to}: heartbeat`;
  return `${to}: ${entries[0]?.index}-${entries.at(-1)?.index} commit ${commit}`;
}

/** One that has seen s2 answer first. */
function settled(): Leader {
  const leader = new Leader();
  leader.append();
  leader.answer('s2');
  leader.pacer.onCommit(1);
  leader.take();
  return leader;
}

describe('Pacer', () => {
  it('sends everything to everybody until somebody has answered', () => {
    const leader = new Leader();
    leader.append();
    leader.append();
    assert.deepEqual(leader.take(), [
      's2: 1-1 commit 0',
      's3: 1-1 commit 0',
      's2: 2-2 commit 1',
      's3: 2-2 commit 1',
    ]);
  });

  it('gathers for the one that a commit does not need', () => {
    const leader = settled();
    for (let i = 0; i < 3; i++) {
      leader.append();
      leader.answer('s2');
      leader.pacer.onCommit(leader.last);
    }
    assert.deepEqual(leader.take(), ['s2: 2-2 commit 1', 's2: 3-3 commit 2', 's2: 4-4 commit 3']);
    leader.timers.advance(PACE_MS);
    assert.deepEqual(leader.take(), ['s3: 2-4 commit 3']);
    leader.timers.advance(10 * PACE_MS);
    assert.deepEqual(leader.take(), []);
  });

  it('sends what it gathered before anything else to the same peer', () => {
    const leader = settled();
    leader.append();
    leader.take();
    leader.pacer.send([createMessage(RaftMessageType.HEARTBEAT, id('s1'), id('s3'), TERM)]);
    assert.deepEqual(leader.take(), ['s3: 2-2 commit 1', 's3: heartbeat']);
  });

  it('does not gather more than a limit', () => {
    const leader = settled();
    leader.append(PACE_BYTES_MAX);
    assert.deepEqual(leader.take(), ['s2: 2-2 commit 1', 's3: 2-2 commit 1']);
  });

  it('turns to everybody when the fast one has become slow, and spares it from then on', () => {
    const leader = settled();
    leader.append();
    leader.take();
    leader.timers.advance(PACE_MS);
    assert.deepEqual(leader.take(), ['s3: 2-2 commit 1']);
    // The answer to what was sent at different times tells nothing.
    leader.answer('s2');
    leader.append();
    assert.deepEqual(leader.take(), ['s2: 3-3 commit 2', 's3: 3-3 commit 2']);
    leader.answer('s3');
    leader.pacer.onCommit(3);
    leader.append();
    assert.deepEqual(leader.take(), ['s3: 4-4 commit 3']);
  });

  it('turns to everybody when the fast one cannot be reached', () => {
    const leader = settled();
    leader.append();
    leader.take();
    leader.pacer.unreachable(id('s2'));
    assert.deepEqual(leader.take(), ['s3: 2-2 commit 1']);
    leader.append();
    assert.deepEqual(leader.take(), ['s2: 3-3 commit 2', 's3: 3-3 commit 2']);
  });

  it('needs two fast ones of five', () => {
    const leader = new Leader(['s1', 's2', 's3', 's4', 's5']);
    leader.append();
    leader.answer('s4');
    leader.take();
    leader.append();
    assert.equal(leader.take().length, 4);
    leader.answer('s2');
    leader.append();
    assert.deepEqual(leader.take(), ['s2: 3-3 commit 2', 's4: 3-3 commit 2']);
  });

  it('spares a learner, whose answer does not count, and nobody in a cluster of two', () => {
    const leader = new Leader(['s1', 's2'], ['s9']);
    leader.append();
    leader.answer('s9');
    leader.take();
    leader.append();
    assert.equal(leader.take().length, 2);
    leader.answer('s2');
    leader.append();
    assert.deepEqual(leader.take(), ['s2: 3-3 commit 2']);
  });

  it('spares nobody while two configurations decide', () => {
    const leader = settled();
    leader.pacer.configure({ ...NO_MEMBERS, voters: ['s1', 's2', 's3'], votersOutgoing: ['s1', 's2', 's4'] });
    leader.append();
    leader.answer('s2');
    leader.append();
    assert.equal(leader.take().length, 4);
  });

  it('forgets everything with the leadership', () => {
    const leader = settled();
    leader.append();
    leader.take();
    leader.pacer.drop();
    leader.timers.advance(PACE_MS);
    assert.deepEqual(leader.take(), []);
  });
});
