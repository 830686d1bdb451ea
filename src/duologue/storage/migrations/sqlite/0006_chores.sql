-- What one request leaves to be done for many users: a background loop does it in small steps.

-- Users whose peers are to hear of their profile. No node takes a step before due_at. changes counts the changes since
-- the row was made. peers: the ids of the peers, 8 bytes each, written down when the telling begins; NULL before that.
-- next_peer: the index of the first who hasn't been told.
CREATE TABLE profile_news (
    user_id INTEGER PRIMARY KEY,
    due_at INTEGER NOT NULL,
    changes INTEGER NOT NULL DEFAULT 0,
    next_peer INTEGER NOT NULL DEFAULT 0,
    peers BLOB
);
CREATE INDEX profile_news_by_due ON profile_news (due_at);

-- Deleted users of whom rows are left: sessions, events, alarms, service numbers. No node takes a step before due_at.
CREATE TABLE erasures (
    user_id INTEGER PRIMARY KEY,
    due_at INTEGER NOT NULL
);
CREATE INDEX erasures_by_due ON erasures (due_at);

-- The live sessions of a user, and those that ended last, however many have ended.
CREATE INDEX sessions_by_end ON sessions (user_id, ended_at);
