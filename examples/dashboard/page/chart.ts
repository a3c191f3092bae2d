import uPlot from 'uplot';

/** One second of the chart: how many changes arrived, and whether the feed was live. */
export interface Second {
  readonly changes: number;
  readonly live: boolean;
}

export const SECONDS = 60;

/** Returns a function that draws the last minute into an element, in the element's size. */
export function chartIn(element: HTMLElement): (seconds: readonly Second[]) => void {
  let shown: readonly Second[] = [];
  const color = (name: string) => (): string =>
    getComputedStyle(element).getPropertyValue(`--${name}`);
  const font = `11px ${getComputedStyle(element).fontFamily}`;
  const axis = { stroke: color('soft'), font, ticks: { show: false } };
  const chart = new uPlot(
    {
      ...sizeOf(element),
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-SECONDS, 0] },
        y: { range: (_, _least, most) => [0, Math.max(10, most * 1.1)] },
      },
      axes: [
        {
          ...axis,
          size: 20,
          grid: { show: false },
          splits: [-SECONDS, -SECONDS / 2, 0],
          values: () => ['60 s ago', '30 s', 'now'],
        },
        { ...axis, size: 34, grid: { stroke: color('line'), width: 1 }, space: 30 },
      ],
      series: [
        {},
        {
          fill: color('bar'),
          width: 0,
          points: { show: false },
          // `align: 1` starts each bar at the start of its second.
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
  new ResizeObserver(() => chart.setSize(sizeOf(element))).observe(element);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.redraw());
  return (seconds) => {
    shown = seconds;
    chart.setData(dataOf(seconds));
    const latest = seconds.at(-1)?.changes ?? 0;
    element.setAttribute(
      'aria-label',
      `Changes per second in the last minute. The last second had ${latest}.`,
    );
  };
}

/** The newest second is at the right, also before the first minute is complete. */
function dataOf(seconds: readonly Second[]): uPlot.AlignedData {
  return [
    seconds.map((_, i) => i - seconds.length),
    // `null` draws no bar.
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
    // Whole pixels leave no gap between two seconds.
    const from = Math.round(plot.valToPos(i - seconds.length, 'x', true));
    const to = Math.round(plot.valToPos(i - seconds.length + 1, 'x', true));
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
  });
  ctx.restore();
}

function sizeOf(element: HTMLElement): { width: number; height: number } {
  return { width: Math.max(element.clientWidth, 200), height: Math.max(element.clientHeight, 80) };
}
