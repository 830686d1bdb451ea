-- Ids are known as soon as a provider gives them, also those of codes and notices (outbox_id 0), and are found however
-- a receipt spells them. folded: in lower case, without leading zeros. tail: the last digits of the number texted.
ALTER TABLE sms_ids ADD COLUMN folded TEXT NOT NULL DEFAULT '';
ALTER TABLE sms_ids ADD COLUMN tail TEXT NOT NULL DEFAULT '';
ALTER TABLE sms_ids ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
UPDATE sms_ids SET folded = lower(ltrim(provider_id, '0'));
CREATE INDEX sms_ids_by_fold ON sms_ids (provider, folded);
DROP INDEX sms_ids_of_outbox;
CREATE INDEX sms_ids_of_outbox ON sms_ids (outbox_id, at);

-- Networks cut a text between any two bytes, so its pieces are kept as bytes, and the alphabet that they are in.
ALTER TABLE sms_pieces ADD COLUMN data BYTEA NOT NULL DEFAULT '';
ALTER TABLE sms_pieces ADD COLUMN alphabet TEXT NOT NULL DEFAULT 'utf-8';
UPDATE sms_pieces SET data = convert_to(text, 'UTF8');
ALTER TABLE sms_pieces DROP COLUMN text;
