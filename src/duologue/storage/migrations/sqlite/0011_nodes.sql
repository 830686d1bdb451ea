-- Running nodes: each counts up the beats of its own row. That shows that the store takes writes, and tells nodes
-- without a bus of each other.

CREATE TABLE nodes (
    id INTEGER PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    beats INTEGER NOT NULL
);
