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
DROP INDEX relay_alarms_by_due;
CREATE INDEX alarms_by_due ON alarms (due_at);
