"use strict";
// News come through one stream per browser: a shared worker where there is one, else a stream of this tab's own.
(() => {
  const PAUSE_MS = 700;
  const light = document.getElementById("link");
  const waiting = new Map();
  let missed = false;
  let begun = Number(document.body.dataset.begun);

  function say(state, text) {
    light.dataset.state = state;
    light.textContent = text;
  }

  function wants(element, news) {
    return element.dataset.kinds.split(",").some((kind) => {
      const [name, id] = kind.split(":");
      return id ? news.runs.includes(Number(id)) || "lost" in news.kinds : name in news.kinds;
    });
  }

  function refresh(element) {
    if (waiting.has(element)) return;
    waiting.set(element, setTimeout(() => {
      waiting.delete(element);
      element.dispatchEvent(new Event("orca-change"));
    }, PAUSE_MS));
  }

  function refreshAll() {
    document.querySelectorAll("[data-kinds]").forEach((element) => {
      if (element.dataset.kinds !== "none") refresh(element);
    });
  }

  function tell(message) {
    if (message.kind === "hello") {
      if (light.dataset.state === "lost" || message.at > begun) refreshAll();
      begun = Infinity;
      say("live", "live");
    } else if (message.kind === "lost") {
      say("lost", "reconnecting");
    } else if (message.kind !== "news") {
      say("waiting", "connecting");
    } else if (document.hidden) {
      missed = true;
    } else {
      document.querySelectorAll("[data-kinds]").forEach((element) => {
        if (wants(element, message.news)) refresh(element);
      });
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && missed) {
      missed = false;
      refreshAll();
    }
  });

  function own() {
    const source = new EventSource("/events");
    source.addEventListener("hello", (event) => tell({ kind: "hello", at: JSON.parse(event.data).at }));
    source.addEventListener("news", (event) => tell({ kind: "news", news: JSON.parse(event.data) }));
    source.onerror = () => tell({ kind: "lost" });
  }

  function listen() {
    if (!window.SharedWorker) return own();
    try {
      const worker = new SharedWorker("/static/worker.js", { name: "orca" });
      worker.onerror = own;
      worker.port.onmessage = (event) => tell(event.data);
      worker.port.start();
      addEventListener("pagehide", () => worker.port.postMessage("bye"));
      // A page that comes back from the browser's cache has said goodbye.
      addEventListener("pageshow", (event) => event.persisted && location.reload());
    } catch {
      own();
    }
  }
  listen();

  // What forms share: a chosen span, kept in the inputs named from and to.
  const stamp = (ms) => new Date(ms).toISOString().slice(0, 19);

  function choose(form, from, to) {
    form.elements.from.value = stamp(Math.min(from, to));
    form.elements.to.value = stamp(Math.max(from, to));
    form.dispatchEvent(new Event("change"));
  }
  window.orca = { choose };

  const span = document.getElementById("span");
  if (span) {
    span.addEventListener("change", () => {
      const link = document.getElementById("export");
      const address = new URL(link.href);
      for (const name of ["from", "to"]) address.searchParams.set(name, span.elements[name].value);
      link.href = address;
    });
    document.getElementById("zoom").addEventListener("submit", (event) => {
      for (const name of ["from", "to"]) event.target.elements[name].value = span.elements[name].value;
    });
    document.querySelectorAll("[data-span-of=span]").forEach((form) => {
      // Before htmx reads the fields, which it does when the event reaches the form.
      form.addEventListener("submit", () => {
        for (const name of ["from", "to"]) form.elements[name].value = span.elements[name].value;
      }, true);
    });
  }

  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest?.("[data-select=lanes] .lane svg");
    if (!svg || event.button !== 0) return;
    const lanes = svg.closest(".lanes");
    const mark = document.createElement("div");
    mark.className = "selection";
    lanes.querySelectorAll(".selection").forEach((old) => old.remove());
    lanes.append(mark);
    drag = { lanes, mark, frame: svg.getBoundingClientRect(), outer: lanes.getBoundingClientRect(), x: event.clientX };
    event.preventDefault();
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const { frame, outer, mark, lanes } = drag;
    const inside = (x) => Math.min(Math.max(x, frame.left), frame.right);
    const [a, b] = [inside(drag.x), inside(event.clientX)].sort((p, q) => p - q);
    mark.style.left = `${a - outer.left}px`;
    mark.style.width = `${b - a}px`;
    const first = Number(lanes.dataset.from);
    const scale = (Number(lanes.dataset.to) - first) / frame.width;
    if (span && b - a > 2) choose(span, first + (a - frame.left) * scale, first + (b - frame.left) * scale);
  });
  document.addEventListener("pointerup", () => { drag = null; });

  // The graph of algorithms: fitted at first, and kept at its size when news replace the drawing.
  function graph(box) {
    const drawing = () => box.querySelector("svg");
    const size = () => drawing().viewBox.baseVal;
    let scale = 1;
    function apply() {
      for (const side of ["width", "height"]) {
        const wanted = String(Math.round(size()[side] * scale));
        if (drawing().getAttribute(side) !== wanted) drawing().setAttribute(side, wanted);
      }
    }
    function zoom(to) {
      const [x, y] = [box.scrollLeft + box.clientWidth / 2, box.scrollTop + box.clientHeight / 2].map((at) => at / scale);
      scale = Math.min(2, Math.max(0.01, to));
      apply();
      box.scrollTo(x * scale - box.clientWidth / 2, y * scale - box.clientHeight / 2);
    }
    const wide = () => (box.clientWidth - 22) / size().width;
    const whole = () => Math.min(1, wide(), (box.clientHeight - 22) / size().height);
    document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
      const by = button.dataset.zoom;
      zoom(by === "fit" ? whole() : by === "full" ? 1 : scale * Number(by));
    }));
    document.getElementById("find").addEventListener("change", (event) => {
      const name = event.target.value.trim().toLowerCase();
      const nodes = [...box.querySelectorAll("a[data-name]")];
      nodes.forEach((node) => node.classList.remove("found"));
      const is = (test) => nodes.find((node) => test(node.dataset.name.toLowerCase()));
      const node = name && (is((one) => one === name) || is((one) => one.includes(name)));
      if (!node) return;
      zoom(1);
      node.classList.add("found");
      node.scrollIntoView({ block: "center", inline: "center" });
    });
    new MutationObserver(apply).observe(box, { attributes: true, subtree: true, attributeFilter: ["width", "height"] });
    // Wide graphs show their whole width; what they begin with stands in the middle of their height.
    zoom(Math.min(1, Math.max(wide(), 0.3)));
    box.scrollTo(0, (size().height * scale - box.clientHeight) / 2);
  }
  if (document.getElementById("graph")) graph(document.getElementById("graph"));

  // A narrow page has its menu in one line: the present page must be in sight.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => { button.textContent = "Copied"; });
  });
})();
