-- Sign-in by SMS. No code is stored in any form: it follows from the id and the server's secret.

CREATE TABLE verifications (
    id BIGINT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    next_send_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    sends INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    phone TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX verifications_of_phone ON verifications (phone, address, created_at);
CREATE INDEX verifications_by_expiry ON verifications (expires_at);

-- What was used of an allowance in its present window. Common to all nodes, and outliving restarts.
CREATE TABLE quotas (
    key TEXT PRIMARY KEY,
    ends_at BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX quotas_by_end ON quotas (ends_at);
