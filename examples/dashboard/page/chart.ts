import uPlot from 'uplot';

/** One second of the chart: how many changes came in it, and whether the feed was live. */
export interface Second {
  readonly changes: number;
  readonly live: boolean;
}

export const SECONDS = 60;

const HEIGHT = 170;

/** Returns a function that draws the last minute into an element; it follows the width there is. */
export function chartIn(element: HTMLElement): (seconds: readonly Second[]) => void {
  let shown: readonly Second[] = [];
  const color = (name: string) => (): string =>
    getComputedStyle(element).getPropertyValue(`--${name}`);
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: color('soft'), font, ticks: { show: false } };
  const chart = new uPlot(
    {
      width: widthOf(element),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-SECONDS, 0] },
        y: { range: (_, _least, most) => [0, Math.max(10, most * 1.1)] },
      },
      axes: [
        {
          ...axis,
          size: 26,
          grid: { show: false },
          splits: [-SECONDS, -SECONDS / 2, 0],
          values: () => ['60 s ago', '30 s', 'now'],
        },
        { ...axis, size: 44, grid: { stroke: color('line'), width: 1 }, space: 50 },
      ],
      series: [
        {},
        {
          fill: color('bar'),
          width: 0,
          points: { show: false },
          // Each bar begins where its second does.
          paths: (uPlot.paths.bars as uPlot.Series.BarsPathBuilderFactory)({
            size: [0.76, 100],
            align: 1,
          }),
        },
      ],
      hooks: { drawClear: [(plot) => shadeCuts(plot, shown, color('cut')())] },
    },
    dataOf(shown),
    element,
  );
  new ResizeObserver(() => chart.setSize({ width: widthOf(element), height: HEIGHT })).observe(
    element,
  );
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.redraw());
  return (seconds) => {
    shown = seconds;
    chart.setData(dataOf(seconds));
    const latest = seconds.at(-1)?.changes ?? 0;
    element.setAttribute(
      'aria-label',
      `Changes a second in the last minute; ${latest} in the last`,
    );
  };
}

/** The newest is at the right, also while there are fewer than a minute's. */
function dataOf(seconds: readonly Second[]): uPlot.AlignedData {
  return [
    seconds.map((_, i) => i - seconds.length),
    // Nothing is drawn for a second in which nothing came.
    seconds.map(({ changes }) => (changes === 0 ? null : changes)),
  ];
}

/** Shades the seconds in which the feed was not live. */
function shadeCuts(plot: uPlot, seconds: readonly Second[], color: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = color;
  seconds.forEach(({ live }, i) => {
    if (live) return;
    const from = plot.valToPos(i - seconds.length, 'x', true);
    const to = plot.valToPos(i - seconds.length + 1, 'x', true);
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
  });
  ctx.restore();
}

function widthOf(element: HTMLElement): number {
  return Math.max(element.clientWidth, 200);
}
