"use strict";
// One stream of news for all tabs of a browser: a stream per tab would use up its connections.
const ports = new Set();
let source = null;
let state = { kind: "waiting" };
// When the newest news came, by the core's clock: a page that is older has missed some.
let at = 0;

function tell(message) {
  at = Math.max(at, message.at || 0);
  if (message.kind !== "news") state = message;
  ports.forEach((port) => port.postMessage(message));
}

function open() {
  source = new EventSource("/events");
  source.addEventListener("hello", (event) => tell({ kind: "hello", at: JSON.parse(event.data).at }));
  source.addEventListener("news", (event) => {
    const news = JSON.parse(event.data);
    tell({ kind: "news", news, at: news.at });
  });
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
  port.postMessage({ ...state, at });
  if (!source) open();
};
