-- Alarms name no channel: when a message raises one follows from one number of its recipient's row.

-- How many milliseconds after a message this user's alarm is due: 0 whether a device acknowledges the message or not,
-- -1 for none, NULL for what the server does for whoever chose nothing. It follows from what the user chose of each
-- channel (model.py:alarm_after).
ALTER TABLE users ADD COLUMN alarm_after INTEGER;
UPDATE users SET alarm_after = CASE sms_relay WHEN 0 THEN -1 WHEN 1 THEN 2147483647 ELSE 0 END
WHERE sms_relay IS NOT NULL;
-- Deleted users.
UPDATE users SET alarm_after = -1 WHERE phone IS NULL;

ALTER TABLE relay_alarms RENAME TO alarms;
ALTER INDEX relay_alarms_pkey RENAME TO alarms_pkey;
ALTER INDEX relay_alarms_by_due RENAME TO alarms_by_due;

-- The message path in one call, as in 0005, with alarms that name no channel: a whole batch of posts and marks under one
-- lock, set by set.
--
-- The caller has numbered everything relative to the batch (storage/batch.py); here the counters make it
-- absolute. Parameters named *_of hold 1-based indexes into chat_ids or user_ids. The advisory lock puts the
-- batches of all nodes into one order: no deadlock, and no seq visible before a lower one.
--
-- mark_states: -1 out of range, 0 nothing changed, 1 changed for the owner alone, 2 for the peer too.

DROP FUNCTION duologue_append;

CREATE FUNCTION duologue_append(
    now_ms BIGINT,
    chat_ids BIGINT[], chat_totals INTEGER[], chat_lows INTEGER[], chat_highs INTEGER[],
    user_ids BIGINT[], user_moves INTEGER[], user_tops BIGINT[], user_top_offsets INTEGER[],
    post_chat_of INTEGER[], post_seqs INTEGER[], post_lows INTEGER[], post_highs INTEGER[],
    post_sides INTEGER[], post_replies INTEGER[], post_clients BYTEA[], post_texts TEXT[],
    post_low_of INTEGER[], post_low_offsets INTEGER[], post_high_of INTEGER[], post_high_offsets INTEGER[],
    several_of INTEGER[], several_chats BIGINT[], several_offsets INTEGER[],
    mark_owner_of INTEGER[], mark_peer_of INTEGER[], mark_chats BIGINT[], mark_sides INTEGER[],
    mark_delivered INTEGER[], mark_read INTEGER[],
    alarm_of INTEGER[], alarm_chat_of INTEGER[], alarm_seqs INTEGER[],
    alarm_preset INTEGER, alarm_unregistered INTEGER, alarm_longest INTEGER,
    write_default INTEGER, discoverable_default BOOLEAN,
    OUT chat_seqs INTEGER[], OUT chat_low_counts INTEGER[], OUT chat_high_counts INTEGER[],
    OUT user_seqs INTEGER[],
    OUT mark_states INTEGER[], OUT marks_delivered INTEGER[], OUT marks_read INTEGER[],
    OUT marks_delivered_shown INTEGER[], OUT marks_read_shown INTEGER[],
    OUT mark_own_offsets INTEGER[], OUT mark_peer_offsets INTEGER[]
)
-- Every row is found by its key. A plan made while the tables are still empty must not read them through later; nor
-- need it be made anew for each small batch, which takes longer than to store it.
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tops_before BIGINT[];
    counts INTEGER[];
    u INTEGER;
BEGIN
    PERFORM pg_advisory_xact_lock(7237961);

    -- Whoever moves a log holds the lock: what stands there now stays.
    SELECT array_agg(l.last_seq ORDER BY i.n), array_agg(l.top_chat ORDER BY i.n)
    INTO user_seqs, tops_before
    FROM (SELECT unnest(user_ids) AS id, generate_subscripts(user_ids, 1) AS n) i
    LEFT JOIN logs l ON l.user_id = i.id;

    IF cardinality(chat_ids) > 0 THEN
        WITH moved AS (
            UPDATE chats c
            SET last_seq = c.last_seq + i.total, low_count = c.low_count + i.low, high_count = c.high_count + i.high
            FROM (SELECT unnest(chat_ids) AS id, unnest(chat_totals) AS total, unnest(chat_lows) AS low,
                unnest(chat_highs) AS high, generate_subscripts(chat_ids, 1) AS n) i
            WHERE c.id = i.id
            RETURNING i.n, c.last_seq - i.total AS seq, c.low_count - i.low AS low, c.high_count - i.high AS high
        )
        SELECT array_agg(seq ORDER BY n), array_agg(low ORDER BY n), array_agg(high ORDER BY n)
        INTO chat_seqs, chat_low_counts, chat_high_counts FROM moved;
        IF cardinality(chat_seqs) IS DISTINCT FROM cardinality(chat_ids) THEN
            RAISE EXCEPTION 'no such chat' USING ERRCODE = 'DU001';
        END IF;

        -- Before the marks: one of them may point at a message of its own batch.
        INSERT INTO messages (chat_id, sent_at, seq, low_count, high_count, reply_to, side, client_id, text)
        SELECT chat_ids[i.c], now_ms, chat_seqs[i.c] + i.seq, chat_low_counts[i.c] + i.low,
            chat_high_counts[i.c] + i.high, i.reply, i.side, i.client, i.body
        FROM (SELECT unnest(post_chat_of) AS c, unnest(post_seqs) AS seq, unnest(post_lows) AS low,
            unnest(post_highs) AS high, unnest(post_replies) AS reply, unnest(post_sides) AS side,
            unnest(post_clients) AS client, unnest(post_texts) AS body) i;
    END IF;

    IF cardinality(mark_chats) > 0 THEN
        -- A peer who has written nothing, or to whom the owner is still a stranger who keeps quiet, sees no mark.
        SELECT array_agg(CASE
                WHEN v.top IS NULL OR v.d1 > v.top THEN -1
                WHEN v.d1 = v.d0 AND v.r1 = v.r0 THEN 0
                WHEN v.peer IS NULL OR (v.e1 = v.e0 AND v.s1 = v.s0) THEN 1
                ELSE 2 END ORDER BY v.n),
            array_agg(v.d1 ORDER BY v.n), array_agg(v.r1 ORDER BY v.n), array_agg(v.e1 ORDER BY v.n),
            array_agg(v.s1 ORDER BY v.n), array_agg(v.seen ORDER BY v.n)
        INTO mark_states, marks_delivered, marks_read, marks_delivered_shown, marks_read_shown, counts
        FROM (
            SELECT b.*,
                CASE WHEN b.d1 > b.e0 AND b.shows THEN CASE WHEN b.withheld = 0 THEN b.d1
                    ELSE GREATEST(b.e0, coalesce((SELECT w.visible FROM withheld w
                        WHERE w.chat_id = b.chat AND w.seq = b.d1 AND w.side <> b.side), b.d1)) END
                    ELSE b.e0 END AS e1,
                CASE WHEN b.r > b.s0 AND b.shows
                        AND (SELECT p.read_receipts FROM users p WHERE p.id = user_ids[b.owner])
                    THEN CASE WHEN b.withheld = 0 THEN b.r
                        ELSE GREATEST(b.s0, coalesce((SELECT w.visible FROM withheld w
                            WHERE w.chat_id = b.chat AND w.seq = b.r AND w.side <> b.side), b.r)) END
                    ELSE b.s0 END AS s1
            FROM (
                SELECT i.n, i.owner, i.chat, i.side, i.read AS r, user_seqs[i.peer] AS peer, c.last_seq AS top,
                    m.delivered AS d0, m.read AS r0, m.delivered_shown AS e0, m.read_shown AS s0, m.withheld,
                    GREATEST(m.delivered, i.delivered, i.read) AS d1, GREATEST(m.read, i.read) AS r1,
                    CASE WHEN i.side = 1 THEN c.low_count ELSE c.high_count END > 0 AND (m.known = 2
                        OR (SELECT coalesce(p.who_can_write, write_default) <> 1
                                AND coalesce(p.discoverable, discoverable_default)
                            FROM users p WHERE p.id = m.user_id)) AS shows,
                    CASE WHEN i.read > m.read THEN coalesce(
                            (SELECT CASE WHEN i.side = 1 THEN x.low_count ELSE x.high_count END
                             FROM messages x WHERE x.chat_id = i.chat AND x.seq = i.read), m.read_count)
                         ELSE m.read_count END AS seen
                FROM (SELECT unnest(mark_owner_of) AS owner, unnest(mark_peer_of) AS peer,
                    unnest(mark_chats) AS chat, unnest(mark_sides) AS side, unnest(mark_delivered) AS delivered,
                    unnest(mark_read) AS read, generate_subscripts(mark_chats, 1) AS n) i
                LEFT JOIN members m ON m.user_id = user_ids[i.owner] AND m.chat_id = i.chat
                LEFT JOIN chats c ON c.id = m.chat_id
            ) b
        ) v;
        mark_own_offsets := array_fill(0, ARRAY[cardinality(mark_chats)]);
        mark_peer_offsets := mark_own_offsets;
        FOR n IN 1 .. cardinality(mark_states) LOOP
            IF mark_states[n] > 0 THEN
                u := mark_owner_of[n];
                user_moves[u] := user_moves[u] + 1;
                mark_own_offsets[n] := user_moves[u];
                IF mark_states[n] = 2 THEN
                    u := mark_peer_of[n];
                    user_moves[u] := user_moves[u] + 1;
                    mark_peer_offsets[n] := user_moves[u];
                END IF;
            END IF;
        END LOOP;
        UPDATE members m
        SET delivered = i.d, read = i.r, delivered_shown = i.e, read_shown = i.s, read_count = i.seen
        FROM (SELECT unnest(mark_owner_of) AS owner, unnest(mark_chats) AS chat, unnest(mark_states) AS state,
            unnest(marks_delivered) AS d, unnest(marks_read) AS r, unnest(marks_delivered_shown) AS e,
            unnest(marks_read_shown) AS s, unnest(counts) AS seen) i
        WHERE i.state > 0 AND m.user_id = user_ids[i.owner] AND m.chat_id = i.chat;
    END IF;

    UPDATE logs l
    SET last_seq = l.last_seq + i.moves, top_chat = CASE WHEN i.top = 0 THEN l.top_chat ELSE i.top END
    FROM (SELECT unnest(user_ids) AS id, unnest(user_moves) AS moves, unnest(user_tops) AS top) i
    WHERE l.user_id = i.id AND i.moves > 0;
    IF array_position(user_seqs, NULL) IS NOT NULL THEN
        FOR n IN 1 .. cardinality(user_ids) LOOP
            IF user_moves[n] > 0 AND user_seqs[n] IS NULL THEN
                RAISE EXCEPTION 'no such user' USING ERRCODE = 'DU001';
            END IF;
        END LOOP;
    END IF;

    INSERT INTO events (user_id, ref, at, seq, a, b, kind)
    SELECT user_ids[i.u], chat_ids[i.c], now_ms, user_seqs[i.u] + i.o, chat_seqs[i.c] + i.seq, 1 - i.side, 1
    FROM (SELECT unnest(post_low_of) AS u, unnest(post_low_offsets) AS o, unnest(post_chat_of) AS c,
        unnest(post_seqs) AS seq, unnest(post_sides) AS side) i
    UNION ALL
    SELECT user_ids[i.u], chat_ids[i.c], now_ms, user_seqs[i.u] + i.o, chat_seqs[i.c] + i.seq, i.side, 1
    FROM (SELECT unnest(post_high_of) AS u, unnest(post_high_offsets) AS o, unnest(post_chat_of) AS c,
        unnest(post_seqs) AS seq, unnest(post_sides) AS side) i
    UNION ALL
    SELECT user_ids[i.owner], i.chat, now_ms, user_seqs[i.owner] + i.o, i.d, i.r, 2
    FROM (SELECT unnest(mark_owner_of) AS owner, unnest(mark_chats) AS chat, unnest(mark_states) AS state,
        unnest(mark_own_offsets) AS o, unnest(marks_delivered) AS d, unnest(marks_read) AS r) i
    WHERE i.state > 0
    UNION ALL
    SELECT user_ids[i.peer], i.chat, now_ms, user_seqs[i.peer] + i.o, i.d, i.s, 3
    FROM (SELECT unnest(mark_peer_of) AS peer, unnest(mark_chats) AS chat, unnest(mark_states) AS state,
        unnest(mark_peer_offsets) AS o, unnest(marks_delivered_shown) AS d, unnest(marks_read_shown) AS s) i
    WHERE i.state = 2;

    IF cardinality(chat_ids) > 0 THEN
        -- A chat that is at the top already, and the only one to move, stays where it is: the usual case.
        UPDATE members m SET activity = user_seqs[i.u] + i.o
        FROM (
            SELECT t.u, t.chat, t.o
            FROM (SELECT generate_subscripts(user_tops, 1) AS u, unnest(user_tops) AS chat,
                unnest(user_top_offsets) AS o) t
            WHERE t.chat <> 0 AND t.chat <> tops_before[t.u]
            UNION ALL
            SELECT unnest(several_of), unnest(several_chats), unnest(several_offsets)
        ) i
        WHERE m.user_id = user_ids[i.u] AND m.chat_id = i.chat;
    END IF;

    IF cardinality(alarm_of) > 0 THEN
        INSERT INTO alarms (user_id, chat_id, due_at, seq)
        SELECT w.id, chat_ids[w.c], now_ms + LEAST(w.wait, alarm_longest), chat_seqs[w.c] + w.s
        FROM (
            SELECT u.id, i.c, i.s, coalesce(u.alarm_after,
                CASE WHEN u.registered_at IS NULL THEN alarm_unregistered ELSE alarm_preset END) AS wait
            FROM (SELECT unnest(alarm_of) AS u, unnest(alarm_chat_of) AS c, unnest(alarm_seqs) AS s) i
            JOIN users u ON u.id = user_ids[i.u]
        ) w
        WHERE w.wait >= 0
        ON CONFLICT (user_id, chat_id) DO NOTHING;
    END IF;
END $$;
