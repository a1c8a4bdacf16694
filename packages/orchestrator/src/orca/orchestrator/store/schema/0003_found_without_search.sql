-- What people and restarts look for is found without reading everything else. SQLite keeps no statistics here: of two
-- indices that fit as many columns it may take either, so each of these fits its question whole.

-- A result by window and algorithm: an index on the algorithm alone would read all that it ever had.
DROP INDEX results_by_window;
CREATE INDEX results_by_window ON results (window_id, algorithm_id);
-- The first and the latest run of a window are the ends of its part of the index.
DROP INDEX runs_by_window;
CREATE INDEX runs_by_window ON runs (window_id, id);
-- Windows of all types in order of time.
CREATE INDEX windows_by_time ON windows (time_to, id);
-- Open, failed and cancelled runs, in order; there are few of them beside those that succeeded.
CREATE INDEX runs_not_succeeded ON runs (state, id) WHERE state <> 1;
