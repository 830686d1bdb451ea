-- The time (epoch ms) up to which ages have been judged: it moves by at most a day an hour. One row.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    settled_at INTEGER NOT NULL
);
