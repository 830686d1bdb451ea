-- Numbers that have two spellings: an account under the old one gets the present one, and two accounts of one person
-- become one. The chats of the account that goes are given to the one that stays, with all their messages.

-- Chats that changed hands. Their ids are no longer those that follow from their two users, in order.
CREATE TABLE moved_chats (
    chat_id BIGINT PRIMARY KEY,
    low_user BIGINT NOT NULL,
    high_user BIGINT NOT NULL
);
CREATE INDEX moved_chats_by_pair ON moved_chats (low_user, high_user);

-- Nodes that still run must not write to logs meanwhile.
SELECT pg_advisory_xact_lock(7237961);

-- Benin since November 2024; Mexico since August 2019; Argentine mobiles without their 9; Brazilian ones without theirs.
CREATE TABLE respelt AS
SELECT old, CASE
    WHEN old LIKE '+229%' THEN '+22901' || substr(old, 5)
    WHEN old LIKE '+52%' THEN '+52' || substr(old, 5)
    WHEN old LIKE '+54%' THEN '+549' || substr(old, 4)
    ELSE substr(old, 1, 5) || '9' || substr(old, 6)
END AS phone
FROM (
    SELECT phone AS old FROM users UNION SELECT phone FROM sms_opt_outs
    UNION SELECT phone FROM verifications UNION SELECT sender FROM sms_pieces
) AS spelt
WHERE old LIKE '+229________'
    OR old LIKE '+521__________'
    OR (old LIKE '+54__________' AND substr(old, 4, 1) IN ('1', '2', '3'))
    OR (old LIKE '+55__________' AND substr(old, 4, 1) <> '0' AND substr(old, 5, 1) <> '0'
        AND substr(old, 6, 1) IN ('6', '8', '9'));

-- Of two accounts the one stays that somebody has signed in with; of two such the one under the present spelling.
CREATE TABLE merged AS
SELECT
    CASE WHEN d.registered_at IS NOT NULL AND k.registered_at IS NULL THEN d.id ELSE k.id END AS kept,
    CASE WHEN d.registered_at IS NOT NULL AND k.registered_at IS NULL THEN k.id ELSE d.id END AS lost
FROM respelt r JOIN users d ON d.phone = r.old JOIN users k ON k.phone = r.phone;

-- A chat of the two with each other stays as it is: its owner finds it as a chat with a deleted account.
CREATE TABLE moved AS
SELECT g.kept, g.lost, m.chat_id, m.peer_id, row_number() OVER (PARTITION BY g.kept ORDER BY m.activity) AS place
FROM merged g JOIN members m ON m.user_id = g.lost WHERE m.peer_id <> g.kept;

-- Each takes the other's place on the same side, so that no message changes.
UPDATE chats SET low_user = v.kept FROM moved v WHERE chats.id = v.chat_id AND chats.low_user = v.lost;
UPDATE chats SET high_user = v.kept FROM moved v WHERE chats.id = v.chat_id AND chats.high_user = v.lost;
INSERT INTO moved_chats (chat_id, low_user, high_user)
SELECT id, CASE WHEN low_user < high_user THEN low_user ELSE high_user END,
    CASE WHEN low_user < high_user THEN high_user ELSE low_user END
FROM chats WHERE id IN (SELECT chat_id FROM moved);
UPDATE members SET peer_id = v.kept FROM moved v WHERE members.chat_id = v.chat_id AND members.user_id = v.peer_id;
UPDATE members SET user_id = v.kept, activity = CASE WHEN members.activity = 0 THEN 0 ELSE
    (SELECT l.last_seq FROM logs l WHERE l.user_id = v.kept) + v.place END
FROM moved v WHERE members.chat_id = v.chat_id AND members.user_id = v.lost;

-- The one who stays starts its log anew: its devices load their chats again. Peers hear of the chat's new owner.
UPDATE logs SET last_seq = last_seq + w.chats, floor = last_seq + w.chats, top_chat = 0
FROM (SELECT kept, count(*) AS chats FROM moved GROUP BY kept) AS w WHERE logs.user_id = w.kept;
DELETE FROM events WHERE user_id IN (SELECT kept FROM moved);
UPDATE events SET ref = v.kept FROM moved v
WHERE events.user_id = v.peer_id AND events.kind = 5 AND events.ref = v.lost;
CREATE TABLE told AS
SELECT l.user_id, v.chat_id, l.last_seq + row_number() OVER (PARTITION BY l.user_id ORDER BY v.chat_id) AS seq
FROM moved v JOIN logs l ON l.user_id = v.peer_id WHERE v.peer_id NOT IN (SELECT lost FROM merged);
INSERT INTO events (user_id, seq, kind, ref, a, b, at) SELECT user_id, seq, 4, chat_id, 0, 0, (extract(epoch FROM now()) * 1000)::bigint FROM told;
UPDATE logs SET last_seq = w.seq FROM (SELECT user_id, max(seq) AS seq FROM told GROUP BY user_id) AS w
WHERE logs.user_id = w.user_id;

-- What is on its way to the phone.
UPDATE relay_alarms SET user_id = v.kept FROM moved v
WHERE relay_alarms.user_id = v.lost AND relay_alarms.chat_id = v.chat_id;
UPDATE sms_outbox SET user_id = v.kept FROM moved v
WHERE sms_outbox.user_id = v.lost AND sms_outbox.chat_id = v.chat_id;
UPDATE sms_unanswered SET user_id = g.kept FROM merged g
WHERE sms_unanswered.user_id = g.lost AND NOT EXISTS (
    SELECT 1 FROM sms_unanswered o WHERE o.user_id = g.kept AND o.chat_id = sms_unanswered.chat_id
);
-- A service number that both used belongs to the chat that used it last, and is known to be shared.
UPDATE sms_pairs SET shared = 1 WHERE EXISTS (
    SELECT 1 FROM merged g JOIN sms_pairs o ON o.service = sms_pairs.service
    WHERE (g.kept = sms_pairs.user_id AND g.lost = o.user_id) OR (g.lost = sms_pairs.user_id AND g.kept = o.user_id)
);
DELETE FROM sms_pairs WHERE EXISTS (
    SELECT 1 FROM merged g JOIN sms_pairs o ON o.user_id = g.lost
    WHERE g.kept = sms_pairs.user_id AND o.service = sms_pairs.service AND o.used_at > sms_pairs.used_at
        AND o.chat_id IN (SELECT chat_id FROM moved)
);
UPDATE sms_pairs SET user_id = v.kept FROM moved v
WHERE sms_pairs.user_id = v.lost AND sms_pairs.chat_id = v.chat_id AND NOT EXISTS (
    SELECT 1 FROM sms_pairs o WHERE o.user_id = v.kept AND o.service = sms_pairs.service
);

-- The other one goes as a deleted account does; its number is the present one of the first.
DELETE FROM sessions WHERE user_id IN (SELECT lost FROM merged);
DELETE FROM events WHERE user_id IN (SELECT lost FROM merged);
DELETE FROM logs WHERE user_id IN (SELECT lost FROM merged);
DELETE FROM relay_alarms WHERE user_id IN (SELECT lost FROM merged);
DELETE FROM sms_pairs WHERE user_id IN (SELECT lost FROM merged);
DELETE FROM sms_unanswered WHERE user_id IN (SELECT lost FROM merged);
UPDATE users SET phone = NULL, display_name = '', registered_at = NULL, sms_relay = NULL, deleted_at = (extract(epoch FROM now()) * 1000)::bigint
WHERE id IN (SELECT lost FROM merged);

UPDATE users SET phone = r.phone FROM respelt r WHERE users.phone = r.old;
UPDATE verifications SET phone = r.phone FROM respelt r WHERE verifications.phone = r.old;
INSERT INTO sms_opt_outs (phone, at)
SELECT r.phone, o.at FROM respelt r JOIN sms_opt_outs o ON o.phone = r.old WHERE true ON CONFLICT (phone) DO NOTHING;
DELETE FROM sms_opt_outs WHERE phone IN (SELECT old FROM respelt);
UPDATE sms_pieces SET sender = r.phone FROM respelt r WHERE sms_pieces.sender = r.old AND NOT EXISTS (
    SELECT 1 FROM sms_pieces o WHERE o.sender = r.phone AND o.service = sms_pieces.service
        AND o.reference = sms_pieces.reference AND o.number = sms_pieces.number
);

DROP TABLE told;
DROP TABLE moved;
DROP TABLE merged;
DROP TABLE respelt;
