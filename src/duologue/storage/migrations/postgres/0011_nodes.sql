-- Running nodes: each counts up the beats of its own row. That shows that the store takes writes, and tells nodes
-- without a bus of each other.

CREATE TABLE nodes (
    id BIGINT PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    beats BIGINT NOT NULL
);
