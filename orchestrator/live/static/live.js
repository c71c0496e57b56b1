// Follows the orchestrator over its stream and shows what it says; comes back by itself.

import { Charts } from "./charts.js";
import * as format from "./format.js";
import { HaltBanner } from "./halt.js";
import * as tables from "./tables.js";

const SILENCE_MS = 6_000; // the server says something every second
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const CALM_MS = 1_000; // between two pictures for whoever wants less to move
const DRAWDOWN = ["current_drawdown", "max_drawdown"];

const find = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.charts = new Charts();
    this.halt = new HaltBanner();
    this.decisions = new tables.Decisions(find("decisions"));
    this.run = null;
    this.message = null;
    this.arrived = 0;
    this.drawing = false;
    this.paused = false;
    this.held = []; // ticks that came while it was paused
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    find("pause").addEventListener("click", () => this.setPaused(!this.paused));
    watchWidths();
    for (const choice of document.querySelectorAll("input[name=filter]")) {
      choice.addEventListener("change", () => this.decisions.setFilter(choice.value));
    }
    document.addEventListener("visibilitychange", () => this.draw());
    setInterval(() => this.showAge(), 1_000);
  }

  take(message) {
    if (message.type === "snapshot") {
      this.run = message.run;
      this.halt.setResume(message.resume);
      this.decisions.clear();
      this.held = [];
      find("account").textContent = message.run.account;
    }
    this.charts.take(message.curves);
    this.held.push(...message.ticks);
    this.message = message;
    this.arrived = performance.now();
    this.draw();
  }

  // At most once for each frame, and only while somebody can see it.
  draw() {
    if (this.drawing || document.hidden || this.message === null) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      const show = () => {
        this.drawing = false;
        this.show(this.message);
      };
      if (this.calm.matches) setTimeout(show, CALM_MS);
      else show();
    });
  }

  show(message) {
    // Set only when changed: they are read out to who does not see them.
    setText("state", message.state);
    find("state").dataset.state = message.state;
    setText("detail", message.detail);
    this.halt.show(message.halt);
    document.title = `${message.halt?.cause ? "HALTED · " : ""}${this.run.account} · Tradewind`;
    if (this.paused) return;
    this.decisions.take(this.held.splice(0));
    find("ticks-per-s").textContent = format.short(message.view.ticks_per_s);
    this.showKeyFigures(message);
    this.showRisk(message.risk);
    tables.fill(find("positions"), tables.positions(message.positions));
    tables.fill(find("latency"), tables.latency(message.latency));
    const { head, rows } = tables.variants(message.variants);
    tables.fill(find("variants-head"), head, "th");
    tables.fill(find("variants"), rows);
    tables.fill(find("troubles"), tables.troubles(message.troubles));
    const missed = message.view.missed_ticks;
    setText("troubles-note", missed ? `${format.whole(missed)} ticks were too fast for this view` : "");
    this.charts.budgetUs = this.run.budget_ms * 1e3;
    setText("latency-title", `Bar to order, budget ${format.short(this.run.budget_ms)} ms`);
    this.charts.draw();
    this.showAge();
  }

  showKeyFigures({ account, counters, risk }) {
    if (account === null) return;
    const { equity, total_return: total, start_of_day_equity: start } = account;
    const today = start > 0 ? equity / start - 1 : null;
    setFigure("equity", format.money(equity), equity);
    setText("equity-note", `cash ${format.money(account.cash)}`);
    setFigure("total-return", format.gain(total), total, total < 0 ? "bad" : "good");
    setText("total-return-note", `on ${format.whole(this.run.capital)}, fees ${format.money(account.fees_paid)}`);
    setFigure("day-return", format.gain(today), today, today < 0 ? "bad" : "good");
    setFigure("leverage", account.leverage === null ? format.ABSENT : `${format.money(account.leverage)}×`, account.leverage);
    setText("leverage-note", format.money(account.exposure));
    setFigure("orders", format.whole(counters.orders ?? 0), counters.orders ?? 0);
    setText("orders-note", `${format.whole(counters.fills ?? 0)} fills in ${format.whole(counters.ticks ?? 0)} ticks`);
    setText("market-time", `${format.marketTime(account.close_ms)} UTC`);
    if (risk === null) {
      setText("drawdown-note", "the risk service has not answered yet");
      setText("risk-note", "not asked yet");
    }
  }

  showRisk(risk) {
    if (risk === null) return;
    const { value, unavailable } = risk.drawdown;
    const named = (name) => risk.metrics.find((item) => item.name === name && item.limit !== null);
    const limited = DRAWDOWN.map(named).find(Boolean);
    const limit = limited ? limited.limit : null;
    this.charts.drawdownLimit = limit;
    setText("drawdown-title", limit === null ? "Drawdown, no limit" : `Drawdown, limit ${format.percent(limit)}`);
    setFigure("drawdown", format.percent(value), value, limit !== null && value >= limit ? "bad" : "");
    setText("drawdown-note", value === null ? unavailable : limit === null ? "no limit" : `limit ${format.percent(limit)}`);
    const calm = risk.action === "ALLOW";
    setFigure("risk-action", risk.action, risk.action, calm ? "" : risk.halted ? "bad" : "warn");
    setText("risk-note", risk.is_current ? (risk.breaches[0] ?? "no limit breached") : "no answer to the last tick: older one");
    find("risk-note").title = risk.breaches.join("\n");
    setText("limits-note", `risk score ${format.short(risk.risk_score)}${risk.is_current ? "" : " · of an earlier tick"}`);
    tables.fill(find("limits"), tables.limits(risk.metrics));
  }

  // What moves stands still; that the account is halted is said all the same.
  setPaused(paused) {
    this.paused = paused;
    find("pause").setAttribute("aria-pressed", String(paused));
    find("pause").textContent = paused ? "Go on" : "Pause";
    this.draw();
  }

  showAge() {
    if (this.message?.account && !this.paused) {
      const { now_ms, account } = this.message;
      const waited = performance.now() - this.arrived;
      setText("age", format.age(Math.max(now_ms - account.decided_ms, 0) + waited));
    }
  }
}

// Says of each table whether it is wider than its panel.
function watchWidths() {
  const observer = new ResizeObserver((entries) => {
    for (const place of new Set(entries.map(({ target }) => target.closest(".scroll")))) {
      const isWide = place.scrollWidth > place.clientWidth + 1;
      place.closest(".panel").toggleAttribute("data-wide", isWide);
    }
  });
  for (const place of document.querySelectorAll(".scroll")) {
    observer.observe(place);
    observer.observe(place.firstElementChild);
  }
}

function setText(id, text) {
  const item = find(id);
  if (item.textContent !== text) item.textContent = text;
}

function setFigure(id, text, value, kind = "") {
  const item = find(id);
  setText(id, text);
  item.className = kind;
  if (value === null) delete item.dataset.value;
  else item.dataset.value = value;
}

class Stream {
  constructor(page) {
    this.page = page;
    this.waitMs = FIRST_WAIT_MS;
    this.silence = 0;
  }

  open() {
    const address = new URL("stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.watch(socket);
    socket.addEventListener("message", (event) => {
      this.watch(socket);
      this.waitMs = FIRST_WAIT_MS;
      this.page.take(JSON.parse(event.data));
      this.tell("live", "live");
    });
    socket.addEventListener("close", () => this.again(socket));
  }

  // A connection that says nothing is as good as none.
  watch(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.again(socket), SILENCE_MS);
  }

  again(socket) {
    if (socket.isGivenUp) return;
    socket.isGivenUp = true;
    socket.close();
    clearTimeout(this.silence);
    this.tell("lost", "no connection: these are the last figures; trying again");
    setTimeout(() => this.open(), this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, LONGEST_WAIT_MS);
  }

  tell(connection, text) {
    document.body.dataset.connection = connection;
    setText("connection", text);
  }
}

new Stream(new Page()).open();
