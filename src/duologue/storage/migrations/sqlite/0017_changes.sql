-- Messages that were changed after they were sent: when, in epoch milliseconds; NULL if they were not. Of a deleted one
-- the text is empty. reactions: a side (0 or 1) and its emoji, again and again, with spaces between them.
ALTER TABLE messages ADD COLUMN edited_at INTEGER;
ALTER TABLE messages ADD COLUMN deleted_at INTEGER;
ALTER TABLE messages ADD COLUMN reactions TEXT;
