"use strict";
// Results over time: uPlot, with windows and notes as bands, and a cursor that the keyboard moves.
(() => {
  const HEIGHT = 340;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = ["--link", "--okbar", "--note", "--wait", "--bad", "--none"];

  function bands(data) {
    return (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.globalAlpha = 0.25;
      ctx.fillStyle = css("--note");
      for (const [from, to] of data.notes) {
        const a = Math.max(bbox.left, plot.valToPos(from, "x", true));
        const b = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
        if (b > a) ctx.fillRect(a, bbox.top, Math.max(2, b - a), bbox.height);
      }
      ctx.fillStyle = css("--queued");
      const wide = plot.valToPos(data.times[0], "x", true) - plot.valToPos(data.starts[0], "x", true);
      // Bands narrower than three pixels are a grey page, not an answer.
      for (let i = 0; wide > 3 && i < data.times.length; i += 2) {
        const a = Math.max(bbox.left, plot.valToPos(data.starts[i], "x", true));
        const b = Math.min(bbox.left + bbox.width, plot.valToPos(data.times[i], "x", true));
        if (b > a) ctx.fillRect(a, bbox.top, b - a, bbox.height);
      }
      ctx.restore();
    };
  }

  // Moments as the rest of the page writes them, coarser where the span is longer.
  const DAY = 86400;
  const moments = [
    [DAY * 365, "{YYYY}", null, null, null, null, null, null, 1],
    [DAY * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [DAY, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
    [0.001, "{ss}.{fff}", "\n{D} {MMM} {YYYY} {HH}:{mm}", null, "\n{D} {MMM} {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
  ];

  function draw(box, data) {
    box.replaceChildren();
    const axis = { stroke: css("--dim"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") } };
    const plot = new uPlot({
      width: box.clientWidth - 22,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" }, ...data.names.map((name, i) => ({
        label: name || "value",
        stroke: css(colours[i % colours.length]),
        width: 1.5,
        spanGaps: true,
        points: { show: data.times.length < 80, size: 5 },
      }))],
      axes: [{ ...axis, values: moments }, { ...axis, size: 60 }],
      // From the beginning of the first window, whose result stands at its end.
      scales: { x: { range: (_, min, max) => [min === data.times[0] ? data.starts[0] : min, max] } },
      hooks: { drawClear: [bands(data)] },
    }, [data.times, ...data.series], box);
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth - 22, height: HEIGHT })).observe(box);
    return plot;
  }

  function keyboard(box, plot, data) {
    let at = data.times.length - 1;
    const form = document.getElementById("note");
    const move = (to) => {
      at = Math.min(data.times.length - 1, Math.max(0, to));
      plot.setCursor({ left: plot.valToPos(data.times[at], "x"), top: 20 });
      const values = data.series.map((one, i) => (one[at] == null ? "" : `${data.names[i]} ${one[at].toPrecision(5)}`));
      const time = new Date(data.times[at] * 1000).toISOString().slice(0, 19).replace("T", " ");
      document.getElementById("reading").textContent = `Window to ${time}: ${values.filter(Boolean).join(", ")}`;
    };
    const stamp = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19);
    const keys = {
      ArrowLeft: () => move(at - 1),
      ArrowRight: () => move(at + 1),
      PageUp: () => move(at - 20),
      PageDown: () => move(at + 20),
      Home: () => move(0),
      End: () => move(data.times.length - 1),
      Enter: () => { location.href = `/windows/${data.windows[at]}`; },
      b: () => { form && (form.elements.from.value = stamp(data.starts[at])); },
      e: () => { form && (form.elements.to.value = stamp(data.times[at])); },
      n: () => form?.elements.description.focus(),
    };
    box.addEventListener("keydown", (event) => {
      const act = keys[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
  }

  async function show(box) {
    const answer = await fetch(box.dataset.chart);
    if (!answer.ok) throw new Error(`the core answered ${answer.status}`);
    const data = await answer.json();
    const field = document.getElementById("field");
    field?.replaceChildren(...data.fields.map((name) => new Option(name, name, false, name === data.field)));
    if (!data.times.length || !data.field) {
      box.innerHTML = '<p class="loading">Nothing here can be drawn: no numbers in this span.</p>';
      return;
    }
    const plot = draw(box, data);
    if (box.id === "chart") keyboard(box, plot, data);
    box.dataset.drawn = data.times.length;
  }

  document.querySelectorAll("[data-chart]").forEach((box) => {
    show(box).catch((error) => {
      box.replaceChildren(Object.assign(document.createElement("p"), { className: "loading", textContent: `Not loaded: ${error.message}` }));
    });
  });
})();
