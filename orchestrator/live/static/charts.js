// The three curves. They take over what the server sends and draw it; `uPlot` is vendored.

import * as format from "./format.js";

/* global uPlot */

const COLUMNS = ["close_ms", "equity", "equity_low", "equity_high", "drawdown", "bar_to_order_us"];

const color = (name) => () =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const style = {
  line: color("--accent"),
  band: color("--band"),
  risk: color("--risk-line"),
  limit: color("--bad"),
  text: color("--muted"),
  grid: color("--grid"),
};

const DAY_MS = 86_400_000;

function timeLabels(self, splits, _axis, _space, increment) {
  return splits.map((ms) => {
    const text = new Date(ms).toISOString();
    return increment >= DAY_MS ? text.slice(0, 10) : text.slice(5, 16).replace("T", " ");
  });
}

// Of a logarithmic scale only the powers of ten, so that lines and labels stay apart.
function powersOfTen(_plot, _axis, low, high) {
  const found = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power += 1) {
    found.push(10 ** power);
  }
  return found;
}

function axes(label, showsTime, splits) {
  const common = { stroke: style.text, font: "11px system-ui", ticks: { show: false } };
  return [
    {
      ...common,
      show: showsTime,
      size: 22,
      space: 110,
      grid: { stroke: style.grid, width: 1 },
      values: timeLabels,
    },
    {
      ...common,
      size: 68,
      space: 26,
      ...(splits && { splits }),
      grid: { stroke: style.grid, width: 1 },
      values: (_self, splits) => splits.map((value) => (value === null ? "" : label(value))),
    },
  ];
}

class Chart {
  constructor(id, { series, bands = [], label, scale, splits, showsTime = false, read }) {
    this.box = document.getElementById(`${id}-chart`);
    const output = document.getElementById(`${id}-read`);
    this.plot = new uPlot(
      {
        ...this.size(),
        ms: 1,
        tzDate: (ms) => uPlot.tzDate(new Date(ms), "Etc/UTC"),
        padding: [6, 26, 2, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, sync: { key: "ticks" }, drag: { x: false, y: false } },
        scales: { x: { time: true }, y: scale },
        axes: axes(label, showsTime, splits),
        series: [{}, ...series],
        bands,
        hooks: {
          setCursor: [
            (plot) => {
              const index = plot.cursor.idx;
              output.textContent =
                index === null || index === undefined
                  ? ""
                  : `${format.marketTime(plot.data[0][index])}  ${read(plot, index)}`;
            },
          ],
        },
      },
      [[], ...series.map(() => [])],
      this.box,
    );
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(this.box);
  }

  // What the curve says, for who does not see it.
  describe(title, values, say) {
    const known = values.filter((value) => value !== null);
    const [low, high] = known.length ? [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))] : [null, null];
    const said = known.length
      ? `${say(known[0])} at first, ${say(low)} lowest, ${say(high)} highest, ${say(known.at(-1))} now`
      : "nothing yet";
    this.box.setAttribute("aria-label", `${title}: ${said}`);
  }

  size() {
    return { width: Math.max(this.box.clientWidth, 50), height: Math.max(this.box.clientHeight, 30) };
  }
}

export class Charts {
  constructor() {
    this.columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
    this.drawdownLimit = null;
    this.budgetUs = null;
    this.equity = new Chart("equity", {
      series: [
        { stroke: style.line, width: 1.5, points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
      ],
      bands: [{ series: [3, 2], fill: style.band }],
      label: format.whole,
      scale: {},
      read: (plot, index) => format.money(plot.data[1][index]),
    });
    this.drawdown = new Chart("drawdown", {
      series: [
        { stroke: style.risk, fill: style.band, width: 1.5, points: { show: false } },
        { stroke: style.limit, width: 1, dash: [5, 4], points: { show: false } },
      ],
      label: (value) => `${format.short(value * 100)} %`,
      // Down is worse; the limit is always in sight.
      scale: { dir: -1, range: (_plot, _low, high) => [0, Math.max(high ?? 0, 0.01) * 1.08] },
      read: (plot, index) => format.percent(plot.data[1][index]),
    });
    this.latency = new Chart("latency", {
      series: [
        { stroke: style.line, width: 1, points: { show: false } },
        { stroke: style.limit, width: 1, dash: [5, 4], points: { show: false } },
      ],
      label: format.duration,
      scale: { distr: 3 },
      splits: powersOfTen,
      showsTime: true,
      read: (plot, index) => format.duration(plot.data[1][index]),
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Takes over points from `start` on; those before it stay.
  take({ start, columns }) {
    for (const name of COLUMNS) {
      this.columns[name].length = start;
      for (const value of columns[name]) this.columns[name].push(value);
    }
  }

  draw() {
    const { close_ms, equity, equity_low, equity_high, drawdown, bar_to_order_us } = this.columns;
    const level = (value) => new Array(close_ms.length).fill(value);
    const times = bar_to_order_us.map((value) => (value > 0 ? value : null)); // a logarithmic scale
    this.equity.plot.setData([close_ms, equity, equity_low, equity_high]);
    this.drawdown.plot.setData([close_ms, drawdown, level(this.drawdownLimit)]);
    this.latency.plot.setData([close_ms, times, level(this.budgetUs)]);
    this.equity.describe("Equity over market time", equity, format.money);
    this.drawdown.describe("Drawdown", drawdown, format.percent);
    this.latency.describe("Time from bar to order", times, format.duration);
  }
}
