"use strict";
// Everything from the file is set as text, never as markup.
const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const json = (value) => JSON.stringify(value);
// What an event did that took no transition.
const WORDS = {
  guard: "a guard does not hold", unhandled: "nothing takes it", ignored: "ignored", failed: "never becomes stable",
};
const filled = (object) => Object.keys(object).length > 0;
let version = -1;
let state = null;

function say(text) {
  byId("note").textContent = text;
  byId("note").hidden = !text;
}

async function ask(path, body) {
  const headers = { "Content-Type": "application/json", "X-Orca": "1" };
  try {
    const answer = await fetch(path, { method: "POST", headers, body: json(body) });
    const found = await answer.json();
    if (!answer.ok) return say(found.error);
    draw(found);
    return true;
  } catch {
    say("The simulator has ended. Start it again: orca machine dev FILE");
  }
}

async function send(event) {
  const text = byId("payload").value.trim();
  let payload = {};
  try {
    payload = text ? JSON.parse(text) : {};
  } catch (error) {
    byId("payload").focus();
    return say(`The payload is no JSON: ${error.message}`);
  }
  if (await ask("/send", { event, payload })) byId("payload").value = "";
}

function drawChoices(run) {
  const focused = document.activeElement?.dataset?.event;
  const buttons = run.choices.map((choice) => {
    const button = make("button", `${choice.kind} ${choice.verdict}`);
    button.type = "button";
    button.dataset.event = choice.event;
    const where = choice.verdict === "taken" ? `→ ${choice.leaves.join(", ")}` : WORDS[choice.verdict];
    button.append(make("span", "", choice.label), make("small", "", where));
    if (choice.why) button.append(make("small", "why", choice.why));
    button.addEventListener("click", () => send(choice.event));
    return button;
  });
  byId("choices").replaceChildren(...buttons);
  buttons.find((button) => button.dataset.event === focused)?.focus();
  byId("over").hidden = run.status === "running";
  byId("over").textContent = run.status === "done" ? "The machine is done." : "The machine did not start.";
}

function drawContext(run) {
  if (byId("context").contains(document.activeElement) && document.activeElement.dataset.dirty) return;
  const focused = document.activeElement?.id;
  const rows = run.context.flatMap((field) => {
    const label = make("label", "", field.name);
    const input = make("input", field.set ? "set" : "");
    if (field.type) label.append(make("small", "", `: ${field.type}`));
    input.id = label.htmlFor = `field-${field.name}`;
    input.value = json(field.value);
    input.spellcheck = false;
    input.addEventListener("input", () => { input.dataset.dirty = "1"; });
    input.addEventListener("change", () => setField(field.name, input));
    return [label, input];
  });
  byId("context").replaceChildren(...rows);
  if (focused?.startsWith("field-")) byId(focused)?.focus();
  if (!rows.length) byId("context").replaceChildren(make("span", "soft", "This machine has none."));
}

async function setField(name, input) {
  delete input.dataset.dirty;
  let value;
  try {
    value = JSON.parse(input.value);
  } catch (error) {
    input.setAttribute("aria-invalid", "true");
    return say(`${name} is no JSON (texts stand in quotes): ${error.message}`);
  }
  input.removeAttribute("aria-invalid");
  await ask("/set", { values: { [name]: value } });
}

function drawFrames(run) {
  const rows = run.frames.map((frame) => {
    const row = make("li");
    row.append(make("b", "", frame.event || "start"), " ");
    if (filled(frame.payload)) row.append(make("code", "", json(frame.payload)), " ");
    if (frame.event && frame.verdict !== "taken") {
      const word = WORDS[frame.verdict];
      row.append(make("span", "verdict", frame.why ? `${word}: ${frame.why}` : word), " ");
    }
    row.append(make("span", "leaves", `→ ${frame.leaves.join(", ")}`));
    if (frame.differs) row.append(make("span", "verdict", " (before the change it ended elsewhere)"));
    if (filled(frame.sets)) row.append(make("small", "", `set before: ${json(frame.sets)}`));
    if (frame.commands.length) row.append(make("small", "", frame.commands.join(" · ")));
    return row;
  });
  byId("frames").replaceChildren(...rows.reverse());
}

function drawFindings() {
  const texts = state.findings.map((item) => {
    const text = make("pre", item.severity, item.text);
    text.tabIndex = 0; // long lines are scrolled by keyboard too
    return text;
  });
  if (state.more_findings) texts.push(make("p", "soft", `and ${state.more_findings} more`));
  if (!texts.length) texts.push(make("p", "soft", "Nothing is wrong."));
  byId("findings").replaceChildren(...texts);
}

function drawMachines() {
  byId("which").hidden = state.machines.length < 2;
  byId("machines").replaceChildren(...state.machines.map((name) => {
    const option = make("option", "", name);
    option.selected = state.run?.machine === name;
    return option;
  }));
}

function draw(found) {
  if (found.version < version) return;
  ({ version } = found);
  state = found;
  const { run } = state;
  document.title = `${run ? `${run.machine} · ` : ""}orca machine dev`;
  byId("title").textContent = run ? run.machine : state.file;
  say(state.note || (run && state.stale ? "The file has errors: this is its last version without any." : ""));
  drawMachines();
  drawFindings();
  byId("stage").hidden = byId("hand").hidden = byId("data").hidden = byId("way").hidden = !run;
  if (!run) {
    byId("where").textContent = `${state.file} has no machine that can run yet: mend what stands below.`;
    return;
  }
  byId("where").textContent = `in ${run.leaves.join(", ") || "no state"}`;
  byId("picture").src = `/diagram.svg?version=${version}`;
  byId("picture").alt = `${run.machine}, active: ${run.leaves.join(", ")}`;
  drawChoices(run);
  drawContext(run);
  drawFrames(run);
  byId("back").disabled = run.frames.length < 2 && !run.context.some((field) => field.set);
}

async function look() {
  try {
    const answer = await fetch(`/state?after=${version}`);
    const found = await answer.json();
    if (answer.ok && found.version !== version) draw(found);
    setTimeout(look, 0);
  } catch {
    say("The simulator has ended. Start it again: orca machine dev FILE");
    version = -1;
    setTimeout(look, 1000);
  }
}

byId("back").addEventListener("click", () => ask("/back", {}));
byId("restart").addEventListener("click", () => ask("/restart", {}));
byId("machines").addEventListener("change", (event) => ask("/restart", { machine: event.target.value }));
byId("payload").addEventListener("keydown", (event) => {
  const first = document.querySelector("#choices button.event.taken, #choices button.event");
  if (event.key === "Enter" && first) first.focus();
});
look();
