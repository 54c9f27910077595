import type { Report } from './run-scenario.ts';
import type { Second } from './workload.ts';

const WIDTH = 1200;
const MARGIN = { left: 60, right: 20, top: 34, bottom: 30 };
const PANEL = { height: 150, gap: 34 };
const ROW_HEIGHT = 16;
const COLUMNS = 3;
/** Numbers above the bands that would run into each other are left out. */
const NUMBER_WIDTH = 18;
/** No more bars than these, so that an hour can be read; each has the mean of its seconds, or the most. */
const BARS_MAX = 360;
const COLORS = {
  done: '#1b6ca8',
  failed: '#c8553d',
  stall: '#6b4c9a',
  broken: '#f2d0c4',
  mending: '#f7ecd0',
};

interface Bar {
  readonly fromSec: number;
  readonly toSec: number;
  readonly donePerSecond: number;
  readonly failedPerSecond: number;
  readonly longestMs: number;
}

function barsOf(seconds: readonly Second[]): readonly Bar[] {
  const step = Math.max(1, Math.ceil(seconds.length / BARS_MAX));
  const bars: Bar[] = [];
  for (let from = 0; from < seconds.length; from += step) {
    const part = seconds.slice(from, from + step);
    const sum = (value: (second: Second) => number): number =>
      part.reduce((total, second) => total + value(second), 0);
    bars.push({
      fromSec: from,
      toSec: from + part.length,
      donePerSecond: sum(({ done }) => done) / part.length,
      failedPerSecond: sum(({ failed }) => failed) / part.length,
      longestMs: Math.max(...part.map(({ longestMs }) => longestMs)),
    });
  }
  return bars;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const rect = (x: number, y: number, width: number, height: number, fill: string): string =>
  `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${Math.max(0, width).toFixed(1)}" height="${Math.max(0, height).toFixed(1)}" fill="${fill}"/>`;
const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(content)}</text>`;
const line = (x1: number, y1: number, x2: number, y2: number): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#ddd"/>`;

/** 1, 2 or 5 times a power of ten, so that at most `parts` of it make `total`. */
function roundStep(total: number, parts: number): number {
  const least = Math.max(total, 1e-9) / parts;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least)!;
}

/** Operations per second and the longest waits over time, over bands that say what was broken, by number. */
export function drawTimeline(report: Report): string {
  const { seconds, spans, verdict } = report;
  const bars = barsOf(seconds);
  const totalSec = Math.max(1, seconds.length);
  const x = (sec: number): number => MARGIN.left + (sec / totalSec) * (WIDTH - MARGIN.left - MARGIN.right);
  const panelTop = [MARGIN.top + 14, MARGIN.top + 14 + PANEL.height + PANEL.gap] as const;
  const bottom = panelTop[1] + PANEL.height;
  const parts: string[] = [];

  let numbered = 0;
  for (const [i, { fromMs, mendedMs, wholeMs }] of spans.entries()) {
    const [from, mended, whole] = [x(fromMs / 1000), x(mendedMs / 1000), x(wholeMs / 1000)];
    for (const top of panelTop) {
      parts.push(rect(from, top, mended - from, PANEL.height, COLORS.broken));
      parts.push(rect(mended, top, whole - mended, PANEL.height, COLORS.mending));
    }
    const middle = (from + whole) / 2;
    if (middle - numbered < NUMBER_WIDTH) continue;
    numbered = middle;
    parts.push(text(middle, panelTop[0] - 3, String(i + 1), 'text-anchor="middle" font-size="9"'));
  }

  const panel = (
    top: number,
    most: number,
    title: string,
    layers: readonly (readonly [color: string, value: (bar: Bar) => number])[],
  ): void => {
    const step = roundStep(most, 4);
    const height = Math.max(step, Math.ceil(most / step) * step);
    const y = (value: number): number => top + PANEL.height * (1 - value / height);
    for (let value = 0; value <= height + step / 2; value += step) {
      parts.push(line(MARGIN.left, y(value), WIDTH - MARGIN.right, y(value)));
      parts.push(text(MARGIN.left - 6, y(value) + 4, String(Number(value.toFixed(3))), 'text-anchor="end"'));
    }
    for (const bar of bars) {
      let base = 0;
      for (const [color, value] of layers) {
        const next = base + value(bar);
        if (next > base)
          parts.push(rect(x(bar.fromSec), y(next), x(bar.toSec) - x(bar.fromSec), y(base) - y(next), color));
        base = next;
      }
    }
    parts.push(text(MARGIN.left, top - 14, title));
  };
  panel(
    panelTop[0],
    Math.max(1, ...bars.map((bar) => bar.donePerSecond + bar.failedPerSecond)),
    'operations per second: done (blue), failed (red)',
    [
      [COLORS.done, (bar) => bar.donePerSecond],
      [COLORS.failed, (bar) => bar.failedPerSecond],
    ],
  );
  panel(
    panelTop[1],
    Math.max(1, ...bars.map((bar) => bar.longestMs / 1000)),
    'the longest operation that ended then, seconds',
    [[COLORS.stall, (bar) => bar.longestMs / 1000]],
  );

  const tick = roundStep(totalSec / (totalSec > 300 ? 60 : 1), 12) * (totalSec > 300 ? 60 : 1);
  for (let sec = 0; sec <= totalSec; sec += tick) {
    const label = totalSec > 300 ? `${Number((sec / 60).toFixed(1))} min` : `${sec} s`;
    parts.push(text(x(sec), bottom + 16, label, 'text-anchor="middle"'));
  }
  const legendTop = bottom + MARGIN.bottom + ROW_HEIGHT;
  const rows = Math.ceil(spans.length / COLUMNS);
  for (const [i, { what, fromMs, wholeMs, mendedMs }] of spans.entries()) {
    const column = Math.floor(i / rows);
    const at = `${i + 1}. ${(fromMs / 1000).toFixed(0)} s ${what}, whole after ${((wholeMs - mendedMs) / 1000).toFixed(1)} s`;
    parts.push(
      text(
        MARGIN.left + (column * (WIDTH - MARGIN.left)) / COLUMNS,
        legendTop + (i % rows) * ROW_HEIGHT,
        at,
        'font-size="11"',
      ),
    );
  }
  const height = legendTop + rows * ROW_HEIGHT + 10;
  const title =
    `${report.scenario} (${report.form}): ${verdict.operations} operations, ${verdict.failed} failed, ` +
    `${verdict.acknowledged} acknowledged, ${verdict.wrong.length} lost or wrong`;
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`;
  const background = `<title>${escaped(title)}</title>\n<rect width="100%" height="100%" fill="white"/>`;
  return `${head}\n${background}\n${text(MARGIN.left, 16, title, 'font-weight="bold"')}\n${parts.join('\n')}\n</svg>\n`;
}
