"use strict";
// One stream of news for all tabs of a browser: a stream per tab would use up its connections.
const ports = new Set();
let source = null;
let state = { kind: "waiting" };

function tell(message) {
  if (message.kind !== "news") state = message;
  ports.forEach((port) => port.postMessage(message));
}

function open() {
  source = new EventSource("/events");
  source.addEventListener("hello", () => tell({ kind: "hello" }));
  source.addEventListener("news", (event) => tell({ kind: "news", news: JSON.parse(event.data) }));
  source.onerror = () => {
    tell({ kind: "lost" });
    // A browser gives up after some answers, such as 503; people do not want that.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 1000);
  };
}

onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = () => ports.delete(port);
  port.postMessage(state);
  if (!source) open();
};
