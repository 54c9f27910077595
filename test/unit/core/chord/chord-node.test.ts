import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChordNode } from '../../../../src/core/chord/chord-node.ts';
import { addPowerOfTwo, type Position } from '../../../../src/core/chord/identifiers.ts';
import type { ChordMessage, ChordReply, Member } from '../../../../src/core/chord/types.ts';

const position = (start: string): Position => start.padEnd(64, '0') as Position;
const member = (nodeId: string, start: string): Member => ({
  nodeId,
  address: `${nodeId}:1`,
  position: position(start),
});
const REPLY: ChordReply = { predecessor: undefined, successors: [], done: true, result: undefined };

/** The one message that is to be sent. */
function only(node: ChordNode): ChordMessage {
  const [message, ...others] = node.takeMessages();
  assert.deepEqual(others, []);
  assert.ok(message);
  return message;
}

describe('a Chord node that looks for its place', () => {
  it('asks what follows behind when the member that was named is gone', () => {
    const node = new ChordNode({
      nodeId: 'x',
      address: 'x:1',
      positions: [position('80')],
      replicas: 3,
    });
    const [low, dead, high] = [member('n', '10'), member('d', 'a0'), member('m', 'c0')];
    node.contact(high.address);
    const first = only(node);
    assert.deepEqual(first.request.body, { kind: 'find', key: addPowerOfTwo(position('80'), 0) });
    // The other machine never talks to it: this node would lie in between.
    node.reply(first.id, { ...REPLY, result: dead });
    const asked = only(node);
    assert.equal(asked.address, dead.address);
    node.failed(asked.id, 'unreachable');
    node.nodeDown(dead.nodeId);
    const again = only(node);
    assert.equal(again.address, high.address);
    assert.deepEqual(again.request.body, { kind: 'find', key: addPowerOfTwo(dead.position, 0) });
    node.reply(again.id, { ...REPLY, result: high });
    const candidate = only(node);
    assert.equal(candidate.request.target, high.position);
    node.reply(candidate.id, { ...REPLY, predecessor: dead, successors: [low] });
    const successors = node.virtualNodes[0]?.successors.members ?? [];
    assert.deepEqual(
      successors.map(({ position: at }) => at),
      [high.position, low.position],
    );
    assert.equal(node.virtualNodes[0]?.placed, true);
  });
});
