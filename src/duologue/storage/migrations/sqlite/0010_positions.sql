-- The time of the newest event that a log no longer has: a client's position there can still be compared.
-- NULL while nothing was trimmed, and where that was done by a release before this.
ALTER TABLE logs ADD COLUMN floor_at INTEGER;
