-- The relay: texts by SMS for those whose devices did not acknowledge, and what comes back.

-- What the user chose: 0 off, 1 offline, 2 always. NULL: what the server does for whoever chose nothing.
ALTER TABLE users ADD COLUMN sms_relay INTEGER;

-- From seq on, messages to this user in this chat are to be looked at when due_at has come. At most one row a
-- chat and side, however many messages wait: it is made in the transaction of the first of them.
CREATE TABLE relay_alarms (
    user_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user_id, chat_id)
) WITHOUT ROWID;
CREATE INDEX relay_alarms_by_due ON relay_alarms (due_at);

-- One row a relayed message. state: 0 queued, 1 leased, 2 delivered but not marked, 3 sent, 4 delivered, 5 failed,
-- 6 cancelled, 7 dead. The first three are open: at next_at somebody must see to them.
CREATE TABLE sms_outbox (
    id INTEGER PRIMARY KEY,
    chat_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    sent_at INTEGER,
    ended_at INTEGER,
    seq INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    parts INTEGER NOT NULL DEFAULT 0,
    provider TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX sms_outbox_of_message ON sms_outbox (chat_id, seq);
CREATE INDEX sms_outbox_open ON sms_outbox (next_at) WHERE state <= 2;
-- What stands before a row in its chat, however much of the chat was sent before.
CREATE INDEX sms_outbox_waiting ON sms_outbox (chat_id, user_id, seq) WHERE state <= 1;
CREATE INDEX sms_outbox_by_age ON sms_outbox (created_at);

-- Under which ids the provider reports on an SMS, and how many delivered parts make each one whole.
CREATE TABLE sms_ids (
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    outbox_id INTEGER NOT NULL,
    receipts INTEGER NOT NULL,
    PRIMARY KEY (provider, provider_id)
) WITHOUT ROWID;
CREATE INDEX sms_ids_of_outbox ON sms_ids (outbox_id);

-- Every different receipt once, also those that come before the provider's answer does.
CREATE TABLE sms_receipts (
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    state TEXT NOT NULL,
    part INTEGER NOT NULL,
    event TEXT NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (provider, provider_id, state, part, event)
) WITHOUT ROWID;
CREATE INDEX sms_receipts_by_age ON sms_receipts (at);

-- Which chat a phone's texts to a service number belong to. introduced: its owner was told who writes from there.
CREATE TABLE sms_pairs (
    user_id INTEGER NOT NULL,
    service TEXT NOT NULL,
    chat_id INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    introduced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, service)
) WITHOUT ROWID;

-- Phones that sent STOP.
CREATE TABLE sms_opt_outs (
    phone TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID;

-- Where each text from a phone went, so that a repeat goes nowhere else. chat_id 0: to the service, or to nobody.
CREATE TABLE sms_inbound (
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    chat_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (provider, provider_id)
) WITHOUT ROWID;
CREATE INDEX sms_inbound_by_age ON sms_inbound (at);

-- Pieces of long texts from phones, until all are there and for a while after.
CREATE TABLE sms_pieces (
    sender TEXT NOT NULL,
    service TEXT NOT NULL,
    reference INTEGER NOT NULL,
    number INTEGER NOT NULL,
    total INTEGER NOT NULL,
    provider TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (sender, service, reference, number)
) WITHOUT ROWID;
CREATE INDEX sms_pieces_by_age ON sms_pieces (at);

-- Where messages were when: a few seconds of one chat on one node are one row.
CREATE TABLE traces (
    chat_id INTEGER NOT NULL,
    high_seq INTEGER NOT NULL,
    id INTEGER NOT NULL,
    low_seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    hops BLOB NOT NULL,
    PRIMARY KEY (chat_id, high_seq, id)
) WITHOUT ROWID;
CREATE INDEX traces_by_age ON traces (at);
