import { defined } from '../../src/base/assert.ts';
import type { HelloReply, MetaReply, MetaRequest, Recall } from '../../src/gen/ringfs/v1/meta.ts';
import { Command, type CommitResult, type Op, type Precondition } from '../../src/gen/ringfs/v1/namespace.ts';
import type { RpcAcceptor, RpcPeer, RpcStreamHandler } from '../../src/ports/rpc.ts';

export type RequestBody = NonNullable<MetaRequest['body']>;
export type ReplyBody = NonNullable<MetaReply['body']>;

/** One message that arrived, as it was when it was put on the stream. */
export interface Arrived {
  readonly push: boolean;
  readonly body: ReplyBody;
}

export interface CommitFields {
  readonly sequence?: number;
  readonly session?: number;
  readonly ackedBelow?: number;
  readonly preconditions?: Precondition[];
}

let streams = 0;

/** A client's end of one stream of a MetaServer, without a network: what it gets is in `log` in the order of the stream. */
export class StubMetaClient implements RpcPeer<MetaReply> {
  readonly remote: string;
  readonly log: Arrived[] = [];
  readonly handler: RpcStreamHandler<MetaRequest, MetaReply>;
  /** Answer recalls at once, as a client does. */
  autoAck = true;
  /** Answer queries for open inodes at once, with these. Undefined: do not answer. */
  openInodes: Set<number> | undefined = new Set();
  open = true;
  session = 0;
  sequence = 0;

  constructor(accept: RpcAcceptor<MetaRequest, MetaReply>) {
    this.remote = `client-${++streams}`;
    this.handler = accept(this);
  }

  push(body: ReplyBody): void {
    if (!this.open) return;
    this.log.push({ push: true, body: structuredClone(body) });
    if (body.$case === 'recall' && this.autoAck) this.ack(body.value);
    if (body.$case === 'openInodesQuery' && this.openInodes !== undefined) {
      const open = body.value.inos.filter((ino) => this.openInodes?.has(ino));
      this.send({ $case: 'openInodesReply', value: { queryId: body.value.queryId, open } });
    }
  }

  /** The server ends the stream. */
  close(): void {
    this.open = false;
  }

  /** The client, or the network, ends the stream. */
  break(): void {
    this.open = false;
    this.handler.onClose();
  }

  ack(recall: Recall): void {
    this.send({ $case: 'recallAck', value: { recallId: recall.recallId } });
  }

  send(body: RequestBody): void {
    void this.handler.onRequest(body).then((reply) => {
      if (reply !== undefined) throw new Error(`a reply to a one-way message: ${reply.$case}`);
    });
  }

  async call(body: RequestBody): Promise<ReplyBody> {
    const reply = defined(await this.handler.onRequest(body), 'reply');
    // The transport takes the reply here: what changes in it later is not sent.
    const sent = structuredClone(reply);
    if (this.open) this.log.push({ push: false, body: sent });
    return sent;
  }

  /** The reply, which must be of this kind. */
  async ask<C extends ReplyBody['$case']>(
    body: RequestBody,
    expected: C,
  ): Promise<Extract<ReplyBody, { $case: C }>['value']> {
    const reply = await this.call(body);
    if (reply.$case !== expected) throw new Error(`${expected} expected: ${JSON.stringify(reply)}`);
    return reply.value as never;
  }

  async hello(session = 0, clusterId = ''): Promise<HelloReply> {
    const nonce = new Uint8Array(16).fill(streams % 256);
    nonce[0] = streams >> 8;
    const reply = await this.ask(
      { $case: 'hello', value: { session, nonce, client: this.remote, clusterId, observer: false } },
      'hello',
    );
    this.session = reply.session;
    return reply;
  }

  observe(): Promise<HelloReply> {
    const nonce = new Uint8Array(0);
    return this.ask(
      { $case: 'hello', value: { session: 0, nonce, client: this.remote, clusterId: '', observer: true } },
      'hello',
    );
  }

  async ping(): Promise<boolean> {
    return (await this.ask({ $case: 'ping', value: {} }, 'ping')).leaseValid;
  }

  /** The request of a commit of these ops. */
  commitRequest(ops: Op[], fields: CommitFields = {}): RequestBody {
    const value = {
      session: fields.session ?? this.session,
      sequence: fields.sequence ?? ++this.sequence,
      ackedBelow: fields.ackedBelow ?? 0,
      time: { sec: 1_700_000_000, nsec: 0 },
      preconditions: fields.preconditions ?? [],
      ops,
      assumedBlocks: [],
    };
    return {
      $case: 'commit',
      value: { command: Command.encode({ body: { $case: 'commit', value } }).finish() },
    };
  }

  commit(ops: Op[], fields: CommitFields = {}): Promise<CommitResult> {
    return this.ask(this.commitRequest(ops, fields), 'commit');
  }

  get recalls(): Recall[] {
    return this.log.flatMap(({ body }) => (body.$case === 'recall' ? [body.value] : []));
  }

  get queries(): number[][] {
    return this.log.flatMap(({ body }) => (body.$case === 'openInodesQuery' ? [body.value.inos] : []));
  }
}

/** The inode that op `i` of a commit made or changed; throws when the commit failed. */
export function inoOf(result: CommitResult, i = 0): number {
  if (result.body?.$case !== 'ok') throw new Error(`the commit failed: ${JSON.stringify(result)}`);
  return defined(result.body.value.results[i], 'result').ino;
}
