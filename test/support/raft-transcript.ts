import { assert, defined } from '../../src/base/assert.ts';
import type { ServerId } from '../../src/base/ids.ts';
import {
  type ConfChange,
  type ConfChangeKind,
  decodeConfChange,
  encodeConfChange,
} from '../../src/core/raft/conf-change.ts';
import type { RawNode } from '../../src/core/raft/raw-node.ts';
import type { HardState, Ready } from '../../src/core/raft/types.ts';
import {
  EntryType,
  type RaftConfState,
  type RaftEntry,
  type RaftMessage,
  RaftMessageType,
  type RaftSnapshotMeta,
} from '../../src/gen/ringfs/v1/raft.ts';
import { confState, createNode } from './raft-cluster.ts';

/**
 * Raft as a text: commands, and what comes of each. Messages wait in one queue until they are delivered or lost, so every order can
 * be written down. The commands are in COMMANDS below.
 */

/** What a node has persisted. */
interface Disk {
  hardState: HardState;
  snapshot: RaftSnapshotMeta;
  entries: RaftEntry[];
  applied: number;
  confState: RaftConfState;
}

interface Member {
  readonly id: string;
  node: RawNode;
  readonly disk: Disk;
}

const TYPE_NAMES = new Map<RaftMessageType, string>(
  Object.entries(RaftMessageType).map(([name, value]) => [value, name.toLowerCase().replaceAll('_', '-')]),
);

/** Turns of all nodes until nothing moves; a cluster that does not settle within them never does. */
const TURNS_MAX = 1_000;

export class Transcript {
  readonly #members = new Map<string, Member>();
  #queue: RaftMessage[] = [];
  #out: string[] = [];

  /** Runs one command and returns what it printed, which is nothing after `quiet`. Throws for a command that is none. */
  run(line: string): string {
    this.#out = [];
    const words = line.trim().split(/\s+/);
    // What leads up to a scene need not be told.
    const quiet = words[0] === 'quiet';
    const [name = '', ...args] = quiet ? words.slice(1) : words;
    const command = COMMANDS[name];
    assert(command !== undefined, `no command ${name}; there are ${Object.keys(COMMANDS).join(', ')}`);
    command(this, args);
    if (quiet) return '';
    return this.#out.length === 0 ? 'ok' : this.#out.join('\n');
  }

  say(text: string): void {
    this.#out.push(text);
  }

  member(id: string | undefined): Member {
    return defined(this.#members.get(id ?? ''), `node ${id}`);
  }

  ids(args: readonly string[]): readonly string[] {
    return args.length === 0 ? [...this.#members.keys()] : args;
  }

  add(id: string, conf: RaftConfState): void {
    const none = { term: 0, votedFor: undefined, commit: 0 };
    const disk = {
      hardState: none,
      snapshot: { index: 0, term: 0, confState: conf },
      entries: [],
      applied: 0,
      confState: conf,
    };
    this.#members.set(id, { id, disk, node: createNode(id, conf) });
  }

  /** As after kill -9: what was persisted is all there is. */
  restart(id: string): void {
    const member = this.member(id);
    const { hardState, snapshot, entries, applied, confState: conf } = member.disk;
    const commit = Math.max(hardState.commit, applied);
    member.node = createNode(id, conf, {
      initial: {
        hardState: { ...hardState, commit },
        snapshot,
        entries: [...entries],
        applied,
        confState: conf,
      },
    });
  }

  /** One Ready: persist, send, apply, advance. False: there was none. */
  ready(id: string): boolean {
    const member = this.member(id);
    if (!member.node.hasReady()) return false;
    const ready = member.node.ready();
    this.say(`${id} ready`);
    this.#persist(member, ready);
    for (const message of ready.messages) {
      this.#queue.push(message);
      this.say(`  send ${show(message)}`);
    }
    for (const { context, index } of ready.readStates)
      this.say(`  read ${context}: ${index === undefined ? 'try again' : `at ${index}`}`);
    for (const entry of ready.committedEntries) {
      this.say(`  apply ${showEntry(entry)}`);
      if (entry.type === EntryType.CONF_CHANGE) {
        member.disk.confState = member.node.applyConfChange(entry.data);
        this.say(`  members ${showConf(member.disk.confState)}`);
      }
      member.disk.applied = entry.index;
    }
    member.node.advance(ready);
    return true;
  }

  #persist({ disk }: Member, { hardState, entries, softState }: Ready): void {
    if (softState !== undefined) this.say(`  role ${softState.role}, leader ${softState.leader ?? '-'}`);
    if (hardState !== undefined) {
      disk.hardState = hardState;
      this.say(
        `  persist term ${hardState.term}, vote ${hardState.votedFor ?? '-'}, commit ${hardState.commit}`,
      );
    }
    const first = entries[0]?.index;
    if (first === undefined) return;
    disk.entries = [...disk.entries.slice(0, first - disk.snapshot.index - 1), ...entries];
    for (const entry of entries) this.say(`  persist ${showEntry(entry)}`);
  }

  /** Takes the messages that fit out of the queue. */
  take(args: readonly string[]): RaftMessage[] {
    const want = Object.fromEntries(args.map((arg) => arg.split('=', 2)));
    const fits = (m: RaftMessage): boolean =>
      (want['from'] ?? m.from) === m.from &&
      (want['to'] ?? m.to) === m.to &&
      (want['type'] ?? typeName(m)) === typeName(m);
    const taken = this.#queue.filter(fits);
    this.#queue = this.#queue.filter((m) => !fits(m));
    return taken;
  }

  deliver(message: RaftMessage): void {
    this.say(`deliver ${show(message)}`);
    const target = this.#members.get(message.to);
    if (target === undefined) return;
    if (message.type !== RaftMessageType.SNAPSHOT) {
      target.node.step(message);
      return;
    }
    // The driver streams the state as it is now.
    const sender = this.member(message.from);
    const meta = sender.node.snapshotMetaAt(sender.disk.applied, sender.disk.confState);
    const taken = target.node.restoreSnapshot(meta);
    this.say(`  ${target.id} ${taken ? 'installs' : 'refuses'} the snapshot at ${meta.index}/${meta.term}`);
    if (taken) {
      const { confState: conf } = sender.disk;
      Object.assign(target.disk, { snapshot: meta, entries: [], applied: meta.index, confState: conf });
    }
    sender.node.reportSnapshot(target.id as ServerId, taken);
  }

  /** `ids` take their turns, and what they send each other arrives, until nothing moves. Others' messages stay in the queue. */
  stabilize(ids: readonly string[]): void {
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      let moved = false;
      for (const id of ids) moved = this.ready(id) || moved;
      const between = this.#queue.filter((m) => ids.includes(m.from) && ids.includes(m.to));
      this.#queue = this.#queue.filter((m) => !between.includes(m));
      for (const message of between) this.deliver(message);
      if (!moved && between.length === 0) return;
    }
    assert(false, 'the nodes settle');
  }

  compact(id: string, index: number): void {
    const { node, disk } = this.member(id);
    const meta = node.snapshotMetaAt(index, disk.confState);
    node.compact(index);
    disk.entries = disk.entries.slice(index - disk.snapshot.index);
    disk.snapshot = meta;
  }
}

type Command = (t: Transcript, args: readonly string[]) => void;

const number = (text: string | undefined): number => {
  const value = Number(text);
  assert(text !== undefined && Number.isInteger(value), `a number, not ${text}`);
  return value;
};

const PADDING = '.';
const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const COMMANDS: Readonly<Record<string, Command>> = {
  /** add-nodes a b c [learner=d ...]: a cluster whose configuration all of them know. */
  'add-nodes': (t, args) => {
    const learners = args
      .filter((arg) => arg.startsWith('learner='))
      .map((arg) => arg.slice('learner='.length));
    const voters = args.filter((arg) => !arg.startsWith('learner='));
    for (const id of [...voters, ...learners]) t.add(id, confState(voters, learners));
  },
  /** join d: a node without a configuration. */
  join: (t, [id = '']) => t.add(id, confState([])),
  campaign: (t, [id]) => t.member(id).node.campaign(),
  /** propose a TEXT [BYTES]: padded, for an entry that fills a message. */
  propose: (t, [id, text = '', length = '0']) =>
    sayResult(t, t.member(id).node.propose(bytes(text.padEnd(number(length), PADDING)))),
  /** conf-change a [joint-auto-leave|joint-explicit] KIND=ID ...: no step leaves a joint configuration. */
  'conf-change': (t, [id, ...args]) => {
    const steps = args.filter((arg) => arg.includes('=')).map((arg) => arg.split('=', 2));
    const transition = (args.find((arg) => !arg.includes('=')) ?? 'auto') as ConfChange['transition'];
    const change = {
      transition,
      steps: steps.map(([kind, each]) => ({
        kind: kind as ConfChangeKind,
        id: each as ServerId,
        address: '',
      })),
    };
    sayResult(t, t.member(id).node.proposeConfChange(encodeConfChange(change)));
  },
  /** ready [ID ...]: one Ready each. */
  ready: (t, args) => {
    for (const id of t.ids(args)) if (!t.ready(id)) t.say(`${id} has nothing to do`);
  },
  stabilize: (t, args) => t.stabilize(t.ids(args)),
  /** deliver [from=ID] [to=ID] [type=TYPE] */
  deliver: (t, args) => {
    for (const message of t.take(args)) t.deliver(message);
  },
  /** lose [from=ID] [to=ID] [type=TYPE] */
  lose: (t, args) => {
    for (const message of t.take(args)) t.say(`lost ${show(message)}`);
  },
  /** tick ID [COUNT] */
  tick: (t, [id, count = '1']) => {
    for (let i = 0; i < number(count); i++) t.member(id).node.tick();
  },
  transfer: (t, [id, to]) => t.member(id).node.transferLeadership(to as ServerId),
  'read-index': (t, [id, context]) => t.member(id).node.readIndex(number(context)),
  compact: (t, [id = '', index]) => t.compact(id, number(index)),
  restart: (t, [id = '']) => t.restart(id),
  status: (t, args) => {
    for (const id of t.ids(args)) t.say(showStatus(t.member(id).node));
  },
  /** log [ID ...]: what is on disk. */
  log: (t, args) => {
    for (const id of t.ids(args)) {
      const { snapshot, entries } = t.member(id).disk;
      t.say(`${id}: ${[`(${snapshot.index}/${snapshot.term})`, ...entries.map(showEntry)].join(' ')}`);
    }
  },
};

function sayResult(
  t: Transcript,
  result: { readonly ok: boolean; readonly index?: number; readonly term?: number; readonly reason?: string },
): void {
  t.say(result.ok ? `accepted as ${result.index}/${result.term}` : `refused: ${result.reason}`);
}

const typeName = (message: RaftMessage): string => TYPE_NAMES.get(message.type) ?? String(message.type);

function show(message: RaftMessage): string {
  const {
    from,
    to,
    term,
    index,
    logTerm,
    commit,
    entries,
    reject,
    rejectHint,
    rejectHintTerm,
    context,
    force,
  } = message;
  const fields = [
    `term=${term}`,
    ...(index > 0 || logTerm > 0 ? [`log=${index}/${logTerm}`] : []),
    ...(commit > 0 ? [`commit=${commit}`] : []),
    ...(reject ? [`reject hint=${rejectHint}/${rejectHintTerm}`] : []),
    // Forwarded reads are numbered from a random point.
    ...(context > 0 && context < 2 ** 20 ? [`context=${context}`] : []),
    ...(force ? ['force'] : []),
    ...(entries.length > 0 ? [`entries=[${entries.map(showEntry).join(', ')}]`] : []),
  ];
  return `${from}->${to} ${typeName(message)} ${fields.join(' ')}`;
}

function showEntry({ index, term, type, data }: RaftEntry): string {
  if (type !== EntryType.CONF_CHANGE)
    return `${index}/${term}${data.length === 0 ? '' : `:${showText(data)}`}`;
  const { transition, steps } = defined(decodeConfChange(data), 'a change that the transcript made');
  const what = steps.length === 0 ? 'leave-joint' : steps.map(({ kind, id }) => `${kind}=${id}`).join('+');
  return `${index}/${term}:${transition === 'auto' ? '' : `${transition} `}${what}`;
}

function showText(data: Uint8Array): string {
  const text = String.fromCharCode(...data);
  return text.endsWith(PADDING) ? `${text.slice(0, text.indexOf(PADDING))}(${text.length} bytes)` : text;
}

function showConf({ voters, learners, votersOutgoing, learnersNext }: RaftConfState): string {
  const part = (name: string, ids: readonly string[]): string =>
    ids.length === 0 ? '' : ` ${name}=${ids.join()}`;
  return `${voters.join()}${part('outgoing', votersOutgoing)}${part('learners', learners)}${part('learners-next', learnersNext)}`;
}

function showStatus(node: RawNode): string {
  const {
    id,
    role,
    term,
    leader,
    commit,
    applied,
    firstIndex,
    lastIndex,
    confState: conf,
    progress,
  } = node.status();
  const peers = progress
    .filter((p) => p.id !== id)
    .map((p) => ` ${p.id}:${p.state} match=${p.match} next=${p.next}`);
  return `${id}: ${role} term=${term} leader=${leader ?? '-'} log=${firstIndex}..${lastIndex} commit=${commit} applied=${applied} members=${showConf(conf)}${peers.join(',')}`;
}

/** A file of blocks: commands, one per line, `----`, and what they print. Lines with # before the commands are comments. */
export function replay(text: string): string {
  const transcript = new Transcript();
  const blocks = text.trim().split(/\n{2,}/);
  return `${blocks.map((block) => replayBlock(transcript, block)).join('\n\n')}\n`;
}

function replayBlock(transcript: Transcript, block: string): string {
  const [input = ''] = block.split('\n----');
  const lines = input.split('\n').map((line) => line.trimEnd());
  const commands = lines.filter((line) => !line.startsWith('#') && line !== '');
  if (commands.length === 0) return lines.join('\n');
  const printed = commands.map((line) => transcript.run(line)).filter((text) => text !== '');
  return [...lines, '----', ...printed].join('\n');
}
