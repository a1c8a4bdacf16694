-- Where a window comes from: the call whose algorithm emitted it, and the trace that it belongs to (W3C traceparent).

ALTER TABLE windows ADD COLUMN parent_exec TEXT NOT NULL DEFAULT '';
ALTER TABLE windows ADD COLUMN trace TEXT NOT NULL DEFAULT '';
