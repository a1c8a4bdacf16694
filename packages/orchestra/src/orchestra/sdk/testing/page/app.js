"use strict";
// Everything that came over the wire is set as text, never as markup.
const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const cards = new Map();
let version = -1;

function drawRun(run) {
  const card = make("article");
  const head = make("h2");
  head.append(make("span", "status " + run.status, run.status || "no status"), make("code", "id", run.id));
  const list = make("ol");
  for (const event of run.events) {
    const line = make("li", event.late ? "late" : "");
    const time = make("time", "", new Date(event.at_s * 1000).toLocaleTimeString([], { hour12: false }));
    const text = event.late ? event.text + "  (after the terminal status: the platform refuses it)" : event.text;
    line.append(time, make("span", "kind " + event.kind, event.kind), make("span", "text", text));
    list.append(line);
  }
  card.append(head, list);
  for (const [name, data] of Object.entries(run.logs)) {
    const box = make("details");
    box.append(make("summary", "", "log " + name), make("pre", "", data));
    box.open = cards.get(run.id)?.querySelector("details")?.open ?? run.status === "FAILED";
    card.append(box);
  }
  return card;
}

function draw(state) {
  const runs = byId("runs");
  const fresh = new Map(state.runs.map((run) => [run.id, drawRun(run)]));
  runs.replaceChildren(...fresh.values());
  cards.clear();
  for (const [id, card] of fresh) cards.set(id, card);
  byId("facts").textContent = `${state.url} · ${state.total} task runs · ${state.events} events`;
  byId("empty").hidden = state.events > 0 || state.problems.length > 0;
  byId("how").textContent = state.how;
  byId("faults").hidden = state.problems.length === 0;
  byId("faultlist").replaceChildren(...state.problems.map((text) => make("li", "", text)));
}

async function look() {
  try {
    const answer = await fetch("/state?after=" + version);
    if (answer.status === 200) {
      const state = await answer.json();
      version = state.version;
      draw(state);
    }
  } catch {
    byId("facts").textContent = "not reachable; trying again";
    version = -1;
  }
  setTimeout(look, 500);
}
look();
