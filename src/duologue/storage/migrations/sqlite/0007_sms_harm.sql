-- What keeps SMS from doing harm.

-- When a text from the code's own phone gave the code away: it can't be redeemed any more.
ALTER TABLE verifications ADD COLUMN voided_at INTEGER;

-- 1 once the service number has been several chats' on this phone: its texts say who writes, all of them.
ALTER TABLE sms_pairs ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;

-- How many texts went to a user's phone since the phone or a device of the user last answered: in one chat, or, with
-- chat_id 0, in all of them. mark: the sum of what only rises when a device or the phone answers.
CREATE TABLE sms_unanswered (
    user_id INTEGER NOT NULL,
    chat_id INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (user_id, chat_id)
) WITHOUT ROWID;
