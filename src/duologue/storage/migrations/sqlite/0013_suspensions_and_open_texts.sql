-- Users whom the operator has suspended: since when, in epoch milliseconds. They keep everything and may do nothing.
ALTER TABLE users ADD COLUMN suspended_at INTEGER;

-- Nodes ask again and again who was suspended last.
CREATE INDEX users_suspended ON users (suspended_at) WHERE suspended_at IS NOT NULL;

-- Long texts from phones of which pieces are still to come. at: when the last piece came, or 0: no more are waited for.
CREATE TABLE sms_open_texts (
    sender TEXT NOT NULL,
    service TEXT NOT NULL,
    reference INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (sender, service, reference)
) WITHOUT ROWID;
CREATE INDEX sms_open_texts_by_age ON sms_open_texts (at);
INSERT INTO sms_open_texts (sender, service, reference, at)
    SELECT sender, service, reference, max(at) FROM sms_pieces
    GROUP BY sender, service, reference HAVING count(*) < max(total);

-- given_up: 1 where the text was taken although pieces were missing. Such pieces were noted as empty rows before.
ALTER TABLE sms_pieces ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
UPDATE sms_pieces SET given_up = 1 WHERE (sender, service, reference) IN (
    SELECT sender, service, reference FROM sms_pieces WHERE provider_id = ''
);
DELETE FROM sms_pieces WHERE provider_id = '';
