import type { DirtyBuffer, Piece } from './dirty-buffer.ts';

/** Uncommitted writes on top of the committed file. An append layer's offsets are relative to where the layers below end. */
export interface Layer {
  readonly kind: 'write' | 'append';
  readonly buffer: DirtyBuffer;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The size of the file with all layers, oldest first, applied to `committedSize`. */
export function sizeWithLayers(layers: readonly Layer[], committedSize: number): number {
  let size = committedSize;
  for (const { kind, buffer } of layers) {
    size = kind === 'append' ? size + buffer.bytes : Math.max(size, buffer.end);
  }
  return size;
}

/** What the layers hold of [from, to), newest first served, and what they leave open; both in order of offset. */
export function overlay(
  layers: readonly Layer[],
  committedSize: number,
  from: number,
  to: number,
): { pieces: Piece[]; gaps: Range[] } {
  const bases: number[] = [];
  let size = committedSize;
  for (const { kind, buffer } of layers) {
    bases.push(kind === 'append' ? size : 0);
    size = kind === 'append' ? size + buffer.bytes : Math.max(size, buffer.end);
  }
  const pieces: Piece[] = [];
  let gaps: Range[] = from < to ? [{ from, to }] : [];
  for (let i = layers.length - 1; i >= 0 && gaps.length > 0; i--) {
    const base = bases[i]!;
    const left: Range[] = [];
    for (const gap of gaps) {
      let at = gap.from;
      for (const piece of layers[i]!.buffer.pieces(Math.max(0, gap.from - base), gap.to - base)) {
        const offset = piece.offset + base;
        if (offset > at) left.push({ from: at, to: offset });
        pieces.push({ offset, data: piece.data });
        at = offset + piece.data.length;
      }
      if (at < gap.to) left.push({ from: at, to: gap.to });
    }
    gaps = left;
  }
  return { pieces: pieces.sort((a, b) => a.offset - b.offset), gaps };
}
