interface Event {
  readonly time: number;
  readonly sequence: number;
  readonly action: () => void;
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}

/** Virtual time: a binary heap of actions, in order of time and then of scheduling. */
export class EventQueue {
  readonly #heap: Event[] = [];
  #sequence = 0;
  now = 0;

  after(delay: number, action: () => void): void {
    this.#sequence += 1;
    const heap = this.#heap;
    heap.push({ time: this.now + delay, sequence: this.#sequence, action });
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) break;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  /** Runs the next action. False: there is none before `end`. */
  runNext(end: number): boolean {
    const first = this.#heap[0];
    if (first === undefined || first.time >= end) return false;
    this.#removeFirst();
    this.now = first.time;
    first.action();
    return true;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}
