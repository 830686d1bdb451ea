-- The message path in one call: a whole batch of posts and marks under one lock, set by set.
--
-- The caller has numbered everything relative to the batch (storage/batch.py); here the counters make it
-- absolute. Parameters named *_of hold 1-based indexes into chat_ids or user_ids. The advisory lock puts the
-- batches of all nodes into one order: no deadlock, and no seq visible before a lower one.
--
-- mark_states: -1 out of range, 0 nothing changed, 1 changed for the owner alone, 2 for the peer too.

CREATE FUNCTION duologue_append(
    now_ms BIGINT,
    chat_ids BIGINT[], chat_totals INTEGER[], chat_lows INTEGER[], chat_highs INTEGER[],
    user_ids BIGINT[], user_moves INTEGER[], user_tops BIGINT[],
    post_chat_of INTEGER[], post_seqs INTEGER[], post_lows INTEGER[], post_highs INTEGER[],
    post_sides INTEGER[], post_replies INTEGER[], post_clients BYTEA[], post_texts TEXT[],
    post_low_of INTEGER[], post_low_offsets INTEGER[], post_high_of INTEGER[], post_high_offsets INTEGER[],
    top_of INTEGER[], top_chats BIGINT[], top_offsets INTEGER[], top_single BOOLEAN[],
    mark_owner_of INTEGER[], mark_peer_of INTEGER[], mark_chats BIGINT[], mark_sides INTEGER[],
    mark_delivered INTEGER[], mark_read INTEGER[],
    alarm_of INTEGER[], alarm_chat_of INTEGER[], alarm_seqs INTEGER[],
    relay_default INTEGER, relay_unregistered INTEGER, relay_delay BIGINT,
    OUT chat_seqs INTEGER[], OUT chat_low_counts INTEGER[], OUT chat_high_counts INTEGER[],
    OUT user_seqs INTEGER[],
    OUT mark_states INTEGER[], OUT marks_delivered INTEGER[], OUT marks_read INTEGER[],
    OUT marks_shown INTEGER[], OUT mark_own_offsets INTEGER[], OUT mark_peer_offsets INTEGER[]
)
-- Every row is found by its key. A plan made while the tables are still empty must not read them through later.
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    tops_before BIGINT[];
    counts INTEGER[];
    places BIGINT[];
    seqs INTEGER[];
    tops BIGINT[];
    u INTEGER;
BEGIN
    PERFORM pg_advisory_xact_lock(7237961);

    IF cardinality(chat_ids) > 0 THEN
        WITH moved AS (
            UPDATE chats c
            SET last_seq = c.last_seq + i.total, low_count = c.low_count + i.low, high_count = c.high_count + i.high
            FROM unnest(chat_ids, chat_totals, chat_lows, chat_highs) WITH ORDINALITY i (id, total, low, high, n)
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
        FROM unnest(post_chat_of, post_seqs, post_lows, post_highs, post_replies, post_sides, post_clients,
            post_texts) i (c, seq, low, high, reply, side, client, body);
    END IF;

    IF cardinality(mark_chats) > 0 THEN
        SELECT array_agg(CASE
                WHEN v.top IS NULL OR v.d1 > v.top THEN -1
                WHEN v.d1 = v.d0 AND v.r1 = v.r0 THEN 0
                WHEN v.peer IS NULL OR (v.d1 = v.d0 AND v.s1 = v.s0) THEN 1
                ELSE 2 END ORDER BY v.n),
            array_agg(v.d1 ORDER BY v.n), array_agg(v.r1 ORDER BY v.n), array_agg(v.s1 ORDER BY v.n),
            array_agg(v.seen ORDER BY v.n)
        INTO mark_states, marks_delivered, marks_read, marks_shown, counts
        FROM (
            SELECT i.n, l.user_id AS peer, c.last_seq AS top, m.delivered AS d0, m.read AS r0, m.read_shown AS s0,
                GREATEST(m.delivered, i.delivered, i.read) AS d1, GREATEST(m.read, i.read) AS r1,
                CASE WHEN p.read_receipts THEN GREATEST(m.read_shown, i.read) ELSE m.read_shown END AS s1,
                CASE WHEN x.seq IS NULL THEN m.read_count
                     WHEN i.side = 1 THEN x.low_count ELSE x.high_count END AS seen
            FROM unnest(mark_owner_of, mark_chats, mark_sides, mark_delivered, mark_read)
                WITH ORDINALITY i (owner, chat, side, delivered, read, n)
            LEFT JOIN members m ON m.user_id = user_ids[i.owner] AND m.chat_id = i.chat
            LEFT JOIN chats c ON c.id = m.chat_id
            LEFT JOIN users p ON p.id = m.user_id
            LEFT JOIN logs l ON l.user_id = m.peer_id
            LEFT JOIN messages x ON x.chat_id = i.chat AND x.seq = i.read AND i.read > m.read
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
        UPDATE members m SET delivered = i.d, read = i.r, read_shown = i.s, read_count = i.seen
        FROM unnest(mark_owner_of, mark_chats, mark_states, marks_delivered, marks_read, marks_shown, counts)
            i (owner, chat, state, d, r, s, seen)
        WHERE i.state > 0 AND m.user_id = user_ids[i.owner] AND m.chat_id = i.chat;
    END IF;

    WITH moved AS (
        UPDATE logs l
        SET last_seq = l.last_seq + i.moves, top_chat = CASE WHEN i.top = 0 THEN l.top_chat ELSE i.top END
        FROM unnest(user_ids, user_moves, user_tops) WITH ORDINALITY i (id, moves, top, n)
        JOIN logs o ON o.user_id = i.id
        WHERE l.user_id = i.id AND i.moves > 0
        RETURNING i.n, o.last_seq AS seq, o.top_chat AS top
    )
    SELECT array_agg(n), array_agg(seq), array_agg(top) INTO places, seqs, tops FROM moved;
    user_seqs := array_fill(NULL::INTEGER, ARRAY[cardinality(user_ids)]);
    tops_before := array_fill(0::BIGINT, ARRAY[cardinality(user_ids)]);
    FOR n IN 1 .. coalesce(cardinality(places), 0) LOOP
        user_seqs[places[n]] := seqs[n];
        tops_before[places[n]] := tops[n];
    END LOOP;
    FOR n IN 1 .. cardinality(user_ids) LOOP
        IF user_moves[n] > 0 AND user_seqs[n] IS NULL THEN
            RAISE EXCEPTION 'no such user' USING ERRCODE = 'DU001';
        END IF;
    END LOOP;

    IF cardinality(chat_ids) > 0 THEN
        INSERT INTO events (user_id, ref, at, seq, a, b, kind)
        SELECT user_ids[i.u], chat_ids[i.c], now_ms, user_seqs[i.u] + i.o, chat_seqs[i.c] + i.seq,
            1 - i.side, 1
        FROM unnest(post_low_of, post_low_offsets, post_chat_of, post_seqs, post_sides) i (u, o, c, seq, side)
        UNION ALL
        SELECT user_ids[i.u], chat_ids[i.c], now_ms, user_seqs[i.u] + i.o, chat_seqs[i.c] + i.seq, i.side, 1
        FROM unnest(post_high_of, post_high_offsets, post_chat_of, post_seqs, post_sides) i (u, o, c, seq, side);

        UPDATE members m SET activity = user_seqs[i.u] + i.o
        FROM unnest(top_of, top_chats, top_offsets, top_single) i (u, chat, o, single)
        WHERE m.user_id = user_ids[i.u] AND m.chat_id = i.chat
            AND NOT (i.single AND tops_before[i.u] = i.chat);
    END IF;

    IF cardinality(alarm_of) > 0 THEN
        INSERT INTO relay_alarms (user_id, chat_id, due_at, seq)
        SELECT w.id, chat_ids[w.c], now_ms + CASE WHEN w.policy = 2 THEN 0 ELSE relay_delay END,
            chat_seqs[w.c] + w.s
        FROM (
            SELECT u.id, i.c, i.s,
                CASE WHEN u.registered_at IS NULL THEN relay_unregistered
                     ELSE coalesce(u.sms_relay, relay_default) END AS policy
            FROM unnest(alarm_of, alarm_chat_of, alarm_seqs) i (u, c, s)
            JOIN users u ON u.id = user_ids[i.u] AND u.phone IS NOT NULL
        ) w
        WHERE w.policy > 0
        ON CONFLICT (user_id, chat_id) DO NOTHING;
    END IF;

    IF cardinality(mark_chats) > 0 THEN
        INSERT INTO events (user_id, ref, at, seq, a, b, kind)
        SELECT user_ids[i.owner], i.chat, now_ms, user_seqs[i.owner] + i.o, i.d, i.r, 2
        FROM unnest(mark_owner_of, mark_chats, mark_states, mark_own_offsets, marks_delivered, marks_read)
            i (owner, chat, state, o, d, r)
        WHERE i.state > 0
        UNION ALL
        SELECT user_ids[i.peer], i.chat, now_ms, user_seqs[i.peer] + i.o, i.d, i.s, 3
        FROM unnest(mark_peer_of, mark_chats, mark_states, mark_peer_offsets, marks_delivered, marks_shown)
            i (peer, chat, state, o, d, s)
        WHERE i.state = 2;
    END IF;
END $$;
