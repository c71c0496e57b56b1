// The banner of a halt, and the way out of it: a form where it is allowed, else a command.

import * as format from "./format.js";

const find = (id) => document.getElementById(id);

export class HaltBanner {
  constructor() {
    this.resume = { allowed: false, token: "", command: "" };
    this.dialog = find("resume");
    find("halt-open").addEventListener("click", () => this.open());
    find("resume-cancel").addEventListener("click", () => this.dialog.close());
    find("resume-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  setResume(resume) {
    this.resume = resume;
    find("halt-command-text").textContent = resume.command;
  }

  show(halt) {
    const banner = find("halt");
    if (halt === null) {
      banner.hidden = true;
      return;
    }
    const { title, cause } = "resumed" in halt ? resumedTexts(halt.resumed) : haltTexts(halt);
    const isOver = "resumed" in halt;
    setText("halt-title", title);
    setText("halt-cause", cause);
    banner.classList.toggle("over", isOver);
    find("halt-open").hidden = isOver || !this.resume.allowed;
    find("halt-command").hidden = isOver || this.resume.allowed;
    banner.hidden = false;
  }

  open() {
    find("resume-problem").textContent = "";
    this.dialog.showModal();
    find("resume-name").focus();
  }

  async send() {
    const button = find("resume-send");
    const problem = find("resume-problem");
    button.disabled = true;
    problem.textContent = "";
    try {
      const answer = await fetch("resume", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Tradewind-Token": this.resume.token },
        body: JSON.stringify({
          name: find("resume-name").value,
          role: find("resume-role").value,
          reason: find("resume-reason").value,
        }),
      });
      if (answer.ok) {
        find("resume-reason").value = "";
        this.dialog.close();
      } else {
        problem.textContent = await answer.text();
      }
    } catch {
      problem.textContent = "The orchestrator did not answer: whether the account was resumed is not known.";
    } finally {
      button.disabled = false;
    }
  }
}

// Only what has changed: a banner that is set anew would be read out again and again.
function setText(id, text) {
  const item = find(id);
  if (item.textContent !== text) item.textContent = text;
}

function haltTexts({ cause, trouble }) {
  if (cause === null) {
    return {
      title: "The account is halted.",
      cause: trouble ? `Why is not known: ${trouble}` : "Asking the risk service why.",
    };
  }
  return {
    title: `The account is halted (${cause.action}) since ${format.machineTime(cause.since_ms)}.`,
    cause: `${[cause.rule, cause.reason].filter(Boolean).join(": ")} · decision ${cause.decision_id}`,
  };
}

function resumedTexts({ name, at_ms }) {
  return {
    title: `Resumed by ${name} at ${format.machineTime(at_ms)}.`,
    cause: "The next answer of the risk service says whether it trades again.",
  };
}
