-- The outbox is a queue as any other until a provider has taken a text: each of its two kinds of work is found by an index
-- of its own. What is delivered but not marked (2) is no job any more.
DROP INDEX sms_outbox_open;
CREATE INDEX sms_outbox_open ON sms_outbox (next_at) WHERE state <= 1;
CREATE INDEX sms_outbox_arrived ON sms_outbox (next_at) WHERE state = 2;
