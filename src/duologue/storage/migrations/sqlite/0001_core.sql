-- Users, sessions, chats, messages and the event log.
-- Times are epoch milliseconds. WITHOUT ROWID: the row lives in its key's B-tree, so nothing is stored twice.

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    phone TEXT UNIQUE,
    display_name TEXT NOT NULL DEFAULT '',
    registered_at INTEGER,
    read_receipts INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
);

-- The head of each user's event log. Apart from users because every message writes it.
CREATE TABLE logs (
    user_id INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0,
    top_chat INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL,
    token_hash BLOB UNIQUE,
    device_name TEXT NOT NULL,
    ip TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX sessions_of_user ON sessions (user_id, created_at, id);

CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    low_user INTEGER NOT NULL,
    high_user INTEGER NOT NULL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    low_count INTEGER NOT NULL DEFAULT 0,
    high_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
);

-- activity: the seq in the user's own log at which this chat last moved to the top of the list.
-- read_count: how many of the peer's messages stand at or below read, so that unread is one subtraction.
-- read_shown: the part of read that the peer may see.
CREATE TABLE members (
    user_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    peer_id INTEGER NOT NULL,
    activity INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    read INTEGER NOT NULL DEFAULT 0,
    read_shown INTEGER NOT NULL DEFAULT 0,
    read_count INTEGER NOT NULL DEFAULT 0,
    muted_until INTEGER,
    archived INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, chat_id)
) WITHOUT ROWID;
CREATE INDEX members_by_activity ON members (user_id, activity);

-- low_count, high_count: messages of each side up to and including this one.
CREATE TABLE messages (
    chat_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    side INTEGER NOT NULL,
    low_count INTEGER NOT NULL,
    high_count INTEGER NOT NULL,
    reply_to INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    client_id BLOB NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (chat_id, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_once ON messages (chat_id, side, client_id);

-- ref: the chat, user or session. a and b: the message's seq and whether it is the user's own,
-- or the delivered and read marks after the change.
CREATE TABLE events (
    user_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    ref INTEGER NOT NULL,
    a INTEGER NOT NULL,
    b INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (user_id, seq)
) WITHOUT ROWID;
