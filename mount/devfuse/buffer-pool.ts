import { assert } from '../../src/base/assert.ts';

/** Buffers of one size, reused, with a limit on how many are out at once. */
export class BufferPool {
  readonly #sizeBytes: number;
  readonly #outMax: number;
  readonly #idleMax: number;
  readonly #idle: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer) => void)[] = [];
  #out = 0;

  constructor(options: { sizeBytes: number; outMax: number; idleMax: number }) {
    this.#sizeBytes = options.sizeBytes;
    this.#outMax = options.outMax;
    this.#idleMax = options.idleMax;
  }

  get out(): number {
    return this.#out;
  }

  /** A buffer with old content. Waits while the limit is reached. */
  take(): Buffer | Promise<Buffer> {
    if (this.#out >= this.#outMax) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#out++;
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  /** Undefined where `take` would wait. */
  tryTake(): Buffer | undefined {
    const buffer = this.#out < this.#outMax ? this.take() : undefined;
    return buffer instanceof Promise ? undefined : buffer;
  }

  give(buffer: Buffer): void {
    assert(this.#out > 0 && buffer.length === this.#sizeBytes, 'the buffer is not of this pool');
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next(buffer);
      return;
    }
    this.#out--;
    if (this.#idle.length < this.#idleMax) this.#idle.push(buffer);
  }
}
