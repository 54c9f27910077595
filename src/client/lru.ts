/** A map that forgets what was used least recently once the weights of its values exceed `capacity`. */
export class LruMap<K, V> {
  readonly #capacity: number;
  readonly #weigh: (value: V) => number;
  readonly #map = new Map<K, { readonly value: V; readonly weight: number }>();
  #weight = 0;

  constructor(capacity: number, weigh: (value: V) => number = () => 1) {
    this.#capacity = capacity;
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#map.size;
  }

  get weight(): number {
    return this.#weight;
  }

  /** The value, which counts as used now. */
  get(key: K): V | undefined {
    const entry = this.#map.get(key);
    if (entry === undefined) return undefined;
    this.#map.delete(key);
    this.#map.set(key, entry);
    return entry.value;
  }

  peek(key: K): V | undefined {
    return this.#map.get(key)?.value;
  }

  /** Also called after a value has changed its weight. A value heavier than the whole capacity is not kept. */
  set(key: K, value: V): void {
    this.delete(key);
    const weight = this.#weigh(value);
    if (weight > this.#capacity) return;
    this.#map.set(key, { value, weight });
    this.#weight += weight;
    for (const oldest of this.#map.keys()) {
      if (this.#weight <= this.#capacity) break;
      this.delete(oldest);
    }
  }

  delete(key: K): boolean {
    const entry = this.#map.get(key);
    if (entry === undefined) return false;
    this.#weight -= entry.weight;
    return this.#map.delete(key);
  }

  clear(): void {
    this.#map.clear();
    this.#weight = 0;
  }

  keys(): IterableIterator<K> {
    return this.#map.keys();
  }
}
