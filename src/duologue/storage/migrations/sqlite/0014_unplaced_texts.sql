-- Texts from phones that are in no chat: the newest, for the operator. sender: masked. reason: a word of ours.
CREATE TABLE unplaced_texts (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    sender TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX unplaced_texts_by_time ON unplaced_texts (at);
