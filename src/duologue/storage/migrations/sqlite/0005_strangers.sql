-- What strangers may do and learn: message requests, withheld messages, marks that are not shown.

-- NULL: what the operator has preset. who_can_write: 0 everyone, 1 requests, 2 nobody. presence: 0 everyone, 1 chats,
-- 2 nobody.
ALTER TABLE users ADD COLUMN who_can_write INTEGER;
ALTER TABLE users ADD COLUMN presence INTEGER;
ALTER TABLE users ADD COLUMN discoverable INTEGER;

-- known: 0 a stranger's chat, 1 its user opened it, 2 its user wrote in it or accepted it.
-- delivered_shown: the part of delivered that the peer may see.
-- withheld: the seq of the newest message of the peer's that is withheld from this user; 0 if none is.
-- A chat with activity 0 is not in its user's list.
ALTER TABLE members ADD COLUMN known INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN delivered_shown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
UPDATE members SET delivered_shown = delivered, known = CASE WHEN (
    SELECT CASE WHEN c.low_user = members.user_id THEN c.low_count ELSE c.high_count END
    FROM chats c WHERE c.id = members.chat_id
) > 0 THEN 2 ELSE 0 END;

-- A list of both is two scans merged; requests alone, or chats alone, are one.
DROP INDEX members_by_activity;
CREATE INDEX members_of_strangers ON members (user_id, activity) WHERE known = 0;
CREATE INDEX members_known ON members (user_id, activity) WHERE known > 0;

-- Messages that their recipient never sees. side: the sender's. visible: the seq of the newest message before this one
-- that the recipient does see; 0 if there is none. They count in neither side's messages.
CREATE TABLE withheld (
    chat_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    side INTEGER NOT NULL,
    visible INTEGER NOT NULL,
    PRIMARY KEY (chat_id, seq)
) WITHOUT ROWID;
