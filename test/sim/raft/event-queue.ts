export interface QueuedEvent {
  readonly time: number;
  readonly sequence: number;
  /** Undefined: cancelled. */
  action: (() => void) | undefined;
}

function before(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}

/** Virtual time: a binary heap of actions, in order of time and then of scheduling. */
export class EventQueue {
  #heap: QueuedEvent[] = [];
  #sequence = 0;
  #cancelled = 0;
  now = 0;

  after(delay: number, action: () => void): QueuedEvent {
    this.#sequence += 1;
    const event: QueuedEvent = { time: this.now + delay, sequence: this.#sequence, action };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
    return event;
  }

  /** It does not happen, and takes no time. Most timers of the product are deadlines that are met. */
  cancel(event: QueuedEvent): void {
    if (event.action === undefined) return;
    event.action = undefined;
    this.#cancelled += 1;
    if (this.#cancelled * 2 > this.#heap.length) this.#removeCancelled();
  }

  /** Runs the next action. False: there is none before `end`. */
  runNext(end: number): boolean {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.time >= end) return false;
      this.#removeFirst();
      const { action } = first;
      if (action === undefined) {
        this.#cancelled -= 1;
        continue;
      }
      first.action = undefined;
      this.now = first.time;
      action();
      return true;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sink(last, 0);
  }

  /** Puts `event` where it belongs at `at` or below. */
  #sink(event: QueuedEvent, start: number): void {
    const heap = this.#heap;
    const { length } = heap;
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, event)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = event;
  }

  #removeCancelled(): void {
    this.#heap = this.#heap.filter(({ action }) => action !== undefined);
    this.#cancelled = 0;
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(this.#heap[at]!, at);
  }
}
