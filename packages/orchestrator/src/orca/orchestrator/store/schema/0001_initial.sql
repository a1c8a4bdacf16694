-- One schema for SQLite and PostgreSQL: @PK@, @BLOB@ and @CLUSTERED@ are filled in per engine.
-- All times are nanoseconds since 1970-01-01 UTC.

CREATE TABLE window_types (
  id @PK@,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  description TEXT NOT NULL,
  fields TEXT NOT NULL,
  UNIQUE (name, version)
);

CREATE TABLE algorithms (
  id @PK@,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  UNIQUE (name, version)
);

CREATE TABLE processors (
  id @PK@,
  project TEXT NOT NULL,
  name TEXT NOT NULL,
  set_version BIGINT NOT NULL,
  runtime TEXT NOT NULL,
  definition TEXT NOT NULL,
  registered_ns BIGINT NOT NULL,
  UNIQUE (project, name)
);

CREATE TABLE processor_history (
  id @PK@,
  processor_id BIGINT NOT NULL REFERENCES processors (id),
  set_version BIGINT NOT NULL,
  runtime TEXT NOT NULL,
  address TEXT NOT NULL,
  definition TEXT NOT NULL,
  registered_ns BIGINT NOT NULL
);
CREATE INDEX processor_history_by_processor ON processor_history (processor_id, id);

CREATE TABLE instances (
  processor_id BIGINT NOT NULL REFERENCES processors (id),
  address TEXT NOT NULL,
  set_version BIGINT NOT NULL,
  features TEXT NOT NULL,
  seen_ns BIGINT NOT NULL,
  PRIMARY KEY (processor_id, address)
);

CREATE TABLE plans (
  id @PK@,
  window_type_id BIGINT NOT NULL REFERENCES window_types (id),
  digest TEXT NOT NULL UNIQUE,
  definition TEXT NOT NULL
);

CREATE TABLE windows (
  id @PK@,
  type_id BIGINT NOT NULL REFERENCES window_types (id),
  time_from BIGINT NOT NULL,
  time_to BIGINT NOT NULL,
  origin TEXT NOT NULL,
  metadata TEXT NOT NULL,
  filter_key TEXT NOT NULL,
  digest @BLOB@ NOT NULL,
  parent_id BIGINT,
  created_ns BIGINT NOT NULL,
  -- The idempotency key leads with time, so that new entries land side by side however many there are.
  UNIQUE (type_id, time_to, time_from, digest)
);

-- state: 0 open, 1 succeeded, 2 failed, 3 cancelled
CREATE TABLE runs (
  id @PK@,
  window_id BIGINT NOT NULL REFERENCES windows (id),
  plan_id BIGINT NOT NULL REFERENCES plans (id),
  kind TEXT NOT NULL,
  state SMALLINT NOT NULL,
  priority BIGINT NOT NULL,
  token BIGINT NOT NULL,
  owner TEXT NOT NULL,
  created_ns BIGINT NOT NULL,
  finished_ns BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  skipped BIGINT NOT NULL
);
CREATE INDEX runs_open ON runs (priority DESC, id) WHERE state = 0;
CREATE INDEX runs_failed ON runs (finished_ns) WHERE state = 2;
CREATE INDEX runs_by_window ON runs (window_id);

-- status: the kernel's numbers (4 succeeded, 5 failed, 6 skipped, 7 cancelled); only final ones are stored
CREATE TABLE executions (
  run_id BIGINT NOT NULL REFERENCES runs (id),
  algorithm_id BIGINT NOT NULL REFERENCES algorithms (id),
  status SMALLINT NOT NULL,
  attempts BIGINT NOT NULL,
  queued_ns BIGINT NOT NULL,
  sent_ns BIGINT NOT NULL,
  finished_ns BIGINT NOT NULL,
  address TEXT NOT NULL,
  cause TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (run_id, algorithm_id)
) @CLUSTERED@;

-- Attempts that did not become a result; the one that did is the execution itself.
CREATE TABLE attempts (
  run_id BIGINT NOT NULL REFERENCES runs (id),
  algorithm_id BIGINT NOT NULL REFERENCES algorithms (id),
  attempt BIGINT NOT NULL,
  sent_ns BIGINT NOT NULL,
  ended_ns BIGINT NOT NULL,
  address TEXT NOT NULL,
  cause TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (run_id, algorithm_id, attempt)
) @CLUSTERED@;

-- kind: the wire's result type; payload is UTF-8 JSON of a struct, or float64 little-endian of an array
CREATE TABLE results (
  id @PK@,
  algorithm_id BIGINT NOT NULL REFERENCES algorithms (id),
  window_id BIGINT NOT NULL REFERENCES windows (id),
  run_id BIGINT NOT NULL,
  filter_key TEXT NOT NULL,
  time_from BIGINT NOT NULL,
  time_to BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  number DOUBLE PRECISION,
  payload @BLOB@,
  created_ns BIGINT NOT NULL
);
-- Uniqueness per window, and the order in which look-backs read.
CREATE UNIQUE INDEX results_history ON results (algorithm_id, filter_key, time_to, window_id);
CREATE INDEX results_by_window ON results (window_id);
CREATE INDEX results_by_time ON results (algorithm_id, time_to, id);

CREATE TABLE annotations (
  id @PK@,
  time_from BIGINT NOT NULL,
  time_to BIGINT NOT NULL,
  description TEXT NOT NULL,
  metadata TEXT NOT NULL,
  algorithms TEXT NOT NULL,
  window_types TEXT NOT NULL,
  created_ns BIGINT NOT NULL
);
CREATE INDEX annotations_by_time ON annotations (time_from, time_to);

CREATE TABLE schedules (
  id @PK@,
  name TEXT NOT NULL UNIQUE,
  definition TEXT NOT NULL,
  paused SMALLINT NOT NULL,
  next_ns BIGINT NOT NULL,
  last_ns BIGINT NOT NULL,
  created_ns BIGINT NOT NULL
);

CREATE TABLE tokens (
  id @PK@,
  name TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_ns BIGINT NOT NULL
);
