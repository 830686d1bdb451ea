-- Users, sessions, chats, messages and the event log.
-- Times are epoch milliseconds. Columns stand from wide to narrow, so that no byte goes into alignment.
-- fillfactor leaves room on each page for the counters that every message updates in place (HOT).

CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    registered_at BIGINT,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    read_receipts BOOLEAN NOT NULL DEFAULT TRUE,
    phone TEXT UNIQUE,
    display_name TEXT NOT NULL DEFAULT ''
);

-- The head of each user's event log. Apart from users because every message writes it.
CREATE TABLE logs (
    user_id BIGINT PRIMARY KEY,
    top_chat BIGINT NOT NULL DEFAULT 0,
    last_seq INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE sessions (
    id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    ended_at BIGINT,
    token_hash BYTEA UNIQUE,
    device_name TEXT NOT NULL,
    ip TEXT NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id, created_at, id);

CREATE TABLE chats (
    id BIGINT PRIMARY KEY,
    low_user BIGINT NOT NULL,
    high_user BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    low_count INTEGER NOT NULL DEFAULT 0,
    high_count INTEGER NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- activity: the seq in the user's own log at which this chat last moved to the top of the list.
-- read_count: how many of the peer's messages stand at or below read, so that unread is one subtraction.
-- read_shown: the part of read that the peer may see.
CREATE TABLE members (
    user_id BIGINT NOT NULL,
    chat_id BIGINT NOT NULL,
    peer_id BIGINT NOT NULL,
    muted_until BIGINT,
    activity INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    read INTEGER NOT NULL DEFAULT 0,
    read_shown INTEGER NOT NULL DEFAULT 0,
    read_count INTEGER NOT NULL DEFAULT 0,
    archived BOOLEAN NOT NULL DEFAULT FALSE,
    pinned BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (user_id, chat_id)
) WITH (fillfactor = 50);
CREATE INDEX members_by_activity ON members (user_id, activity);

-- low_count, high_count: messages of each side up to and including this one.
CREATE TABLE messages (
    chat_id BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    low_count INTEGER NOT NULL,
    high_count INTEGER NOT NULL,
    reply_to INTEGER NOT NULL,
    side SMALLINT NOT NULL,
    client_id BYTEA NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (chat_id, seq)
);
CREATE UNIQUE INDEX messages_once ON messages (chat_id, side, client_id);

-- ref: the chat, user or session. a and b: the message's seq and whether it is the user's own,
-- or the delivered and read marks after the change.
CREATE TABLE events (
    user_id BIGINT NOT NULL,
    ref BIGINT NOT NULL,
    at BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    a INTEGER NOT NULL,
    b INTEGER NOT NULL,
    kind SMALLINT NOT NULL,
    PRIMARY KEY (user_id, seq)
);
