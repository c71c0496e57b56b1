// Fills the tables. Text goes in as text: nothing that comes from outside is ever read as markup.

import * as format from "./format.js";

const MOST_ROWS = 150;

// Sets the cells of a table; a cell is a text, or {text, kind, title, used}.
export function fill(body, rows, heading = "td") {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, place) => {
    const row = body.rows[place] ?? body.insertRow();
    while (row.cells.length > cells.length) row.lastElementChild.remove();
    cells.forEach((cell, column) => {
      const item = row.cells[column] ?? row.appendChild(document.createElement(heading));
      setCell(item, typeof cell === "string" ? { text: cell } : cell);
    });
  });
}

function setCell(item, { text, kind = "", title = "", used }) {
  if (used !== undefined) {
    const meter = item.firstElementChild ?? item.appendChild(document.createElement("span"));
    meter.className = `used ${kind}`;
    meter.style.setProperty("--used", used === null ? "0%" : `${Math.min(used, 1) * 100}%`);
    meter.textContent = text;
  } else if (item.textContent !== text) {
    item.textContent = text;
  }
  if (item.className !== kind) item.className = kind;
  if (item.title !== title) item.title = title;
}

const number = (text, kind = "", title = "") => ({ text, kind: `number ${kind}`.trim(), title });
const tone = (value) => (value > 0 ? "good" : value < 0 ? "bad" : "");

export function positions(items) {
  if (!items.length) return [[{ text: "none yet", kind: "empty" }]];
  return items.map((item) => [
    { text: item.symbol, kind: "strong", title: [item.symbol, item.policy].filter(Boolean).join(" · ") },
    number(format.quantity(item.quantity)),
    number(format.quantity(item.mark_price)),
    number(format.whole(item.notional), "", format.money(item.notional)),
    number(format.percent(item.weight)),
    number(format.moneyGain(item.unrealized), tone(item.unrealized)),
  ]);
}

export function limits(metrics) {
  return metrics.map((item) => {
    const used = item.utilization;
    const kind = used === null ? "missing" : used >= 1 ? "over" : used >= 0.8 ? "near" : "";
    return [
      format.word(item.name),
      number(format.short(item.value), used >= 1 ? "bad" : "", item.unavailable),
      number(format.short(item.limit)),
      { text: used === null ? item.unavailable : `${format.short(used * 100)} %`, kind, used },
    ];
  });
}

const PARTS = [
  ["model_compute", "model compute"],
  ["features", "features"],
  ["predict", "Predict call"],
  ["evaluate", "Evaluate call"],
  ["journal", "journal"],
  ["submit", "submit"],
  ["bar_to_order", "bar to order"],
];

export function latency(parts) {
  return PARTS.map(([name, label]) => {
    const item = parts[name];
    const limit = item.limit_us;
    const time = (value) =>
      number(format.microseconds(value), limit !== null && value > limit ? "bad" : "");
    return [
      limit === null ? label : { text: `${label} ≤ ${format.whole(limit)}`, kind: "strong" },
      time(item.p50_us),
      time(item.p99_us),
      time(item["p99.9_us"]),
      number(
        limit === null ? "" : format.whole(item.over_count),
        item.over_count > 0 ? "warn" : "",
        limit === null ? "" : `${item.over_count} of ${item.count} since the start`,
      ),
    ];
  });
}

const VARIANT_ROWS = [
  ["version", (item) => item.version || format.ABSENT],
  ["symbols", (item) => item.symbols.join(" ") || format.ABSENT],
  ["total return", (item) => format.gain(item.total_return), (item) => tone(item.total_return)],
  ["max drawdown", (item) => format.percent(item.max_drawdown)],
  ["decisions", (item) => format.whole(item.decision_count)],
  ["not used", (item) => format.whole(item.refused_count), (item) => (item.refused_count ? "warn" : "")],
  ["compute p50", (item) => format.duration(item.model_compute.p50_us)],
  [
    "compute p99",
    (item) => format.duration(item.model_compute.p99_us),
    ({ model_compute: { p99_us, limit_us } }) => (p99_us > limit_us ? "bad" : ""),
  ],
];

// One variant a column, so that they stand side by side.
export function variants(items) {
  return {
    head: items.length ? [["variant", ...items.map((item) => ({ text: item.name, kind: "number", title: item.name }))]] : [],
    rows: items.length
      ? VARIANT_ROWS.map(([label, text, kind = () => ""]) => [
          label,
          ...items.map((item) => number(text(item), kind(item), text(item))),
        ])
      : [[{ text: "no decision yet", kind: "empty" }]],
  };
}

const cut = (text) => (text.length > 40 ? `${text.slice(0, 39).trimEnd()}…` : text);

export function troubles(items) {
  if (!items.length) return [[{ text: "none so far", kind: "empty" }]];
  return items.map((item) => [
    { text: item.code, kind: item.critical ? "code bad" : "code warn", title: item.code },
    { text: [item.text, cut(item.detail)].filter(Boolean).join(" · "), kind: "grow", title: item.detail },
    number(`${format.whole(item.count)}×`, "", `last at ${format.marketTime(item.last_ms)} UTC`),
  ]);
}

// The stream: newest first, each tick once, and a bounded number of them.
export class Decisions {
  constructor(body) {
    this.body = body;
    this.ticks = [];
    this.last = -1;
    this.filter = "all";
    this.rows = new Map();
  }

  clear() {
    this.ticks = [];
    this.last = -1;
    this.rows.clear();
    this.body.replaceChildren();
  }

  take(ticks) {
    for (const tick of ticks) {
      if (tick.sequence <= this.last) continue;
      this.last = tick.sequence;
      this.ticks.push(tick);
      this.show(tick);
    }
    while (this.body.rows.length > MOST_ROWS) this.body.deleteRow(-1);
    if (this.ticks.length > 4 * MOST_ROWS) this.thin();
  }

  setFilter(filter) {
    this.filter = filter;
    this.body.replaceChildren();
    for (const tick of this.ticks) this.show(tick);
    while (this.body.rows.length > MOST_ROWS) this.body.deleteRow(-1);
  }

  // Keeps the last ticks, and as many again of those with orders and with trouble.
  thin() {
    const kept = new Set();
    for (const matches of Object.values(FILTERS)) {
      for (const tick of this.ticks.filter(matches).slice(-MOST_ROWS)) kept.add(tick);
    }
    this.ticks = this.ticks.filter((tick) => kept.has(tick));
  }

  show(tick) {
    if (!FILTERS[this.filter](tick)) return;
    const row = this.body.insertRow(0);
    row.dataset.sequence = tick.sequence;
    for (const cell of decisionCells(tick)) setCell(row.insertCell(), cell);
  }
}

const isTrouble = (reason) => reason !== "WARM_UP";
const FILTERS = {
  all: () => true,
  orders: (tick) => tick.orders.length > 0,
  trouble: (tick) => tick.reasons.some(isTrouble) || tick.refused_bars.length > 0,
};
const OUTCOME_KINDS = { HELD: "warn", FLATTENED: "warn", WARM_UP: "muted", RECOVERED: "muted" };

function decisionCells(tick) {
  const troubles = [...tick.reasons.filter(isTrouble), ...tick.refused_bars.map((bar) => bar.fault)];
  const targets = tick.decisions.flatMap((decision) =>
    decision.symbols.map((symbol, place) =>
      decision.targets[place] === null ? `${symbol} keep` : `${symbol} ${format.target(decision.targets[place])}`,
    ),
  );
  const policies = tick.decisions.map((item) =>
    [item.policy, item.variant, item.version, item.reason].filter(Boolean).join(" "),
  );
  const orders = tick.orders.map(
    (order) => `${order.symbol} ${order.quantity > 0 ? "+" : ""}${format.quantity(order.quantity)}${order.sent ? "" : " ✕"}`,
  );
  const details = tick.orders.map((order) =>
    `${order.symbol} ${format.quantity(order.quantity)} at ${format.quantity(order.price)}: ${order.sent ? "sent" : "not sent"}, ${order.reason}`,
  );
  const calm = tick.risk_action === "ALLOW";
  return [
    {
      text: format.marketTime(tick.close_ms).slice(5),
      kind: "time",
      title: `tick ${tick.sequence}, ${format.marketTime(tick.close_ms)} UTC`,
    },
    {
      text: troubles.length ? `${tick.outcome} · ${troubles.join(" ")}` : tick.outcome,
      kind: troubles.length ? "warn" : (OUTCOME_KINDS[tick.outcome] ?? ""),
      title: [...troubles, ...tick.refused_bars.map((bar) => `${bar.symbol}: ${bar.detail}`)].join("\n"),
    },
    { text: targets.join("  ") || format.ABSENT, title: [...targets, ...policies].join("\n") },
    { text: orders.join("  ") || format.ABSENT, title: details.join("\n") },
    {
      text: tick.risk_action ?? "no answer",
      kind: tick.risk_action === null ? "muted" : calm ? "" : "warn",
      title: tick.breaches.join("\n"),
    },
    { text: format.duration(tick.bar_to_order_us), kind: "number" },
  ];
}
