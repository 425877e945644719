-- +goose Up
CREATE TABLE IF NOT EXISTS audit_leaf (
    id        TEXT PRIMARY KEY,  -- ULID; within one process in the order of appending
    seq       BIGINT,            -- set once by the sequencer
    sequenced BIGINT,            -- set with seq; never decreases; hashed with the entry
    at        BIGINT NOT NULL,
    event     TEXT NOT NULL,
    actor     TEXT NOT NULL,
    object    TEXT NOT NULL,
    kase      TEXT NOT NULL,
    entry     BYTEA NOT NULL     -- the JSON that is hashed; the columns above repeat it for searching
);
CREATE UNIQUE INDEX IF NOT EXISTS audit_leaf_seq ON audit_leaf (seq);
CREATE INDEX IF NOT EXISTS audit_leaf_pending ON audit_leaf (id) WHERE seq IS NULL;
CREATE INDEX IF NOT EXISTS audit_leaf_object ON audit_leaf (object);
CREATE INDEX IF NOT EXISTS audit_leaf_kase ON audit_leaf (kase) WHERE kase <> '';
CREATE INDEX IF NOT EXISTS audit_leaf_actor ON audit_leaf (actor);
CREATE INDEX IF NOT EXISTS audit_leaf_viewing ON audit_leaf (event) WHERE event IN ('viewing-opened', 'viewing-closed');

CREATE TABLE IF NOT EXISTS audit_hash (
    idx  BIGINT PRIMARY KEY,     -- stored hash index of tlog
    hash BYTEA NOT NULL
);

CREATE TABLE IF NOT EXISTS audit_checkpoint (
    number BIGINT PRIMARY KEY,   -- 1, 2, 3 …
    at     BIGINT NOT NULL,
    size   BIGINT NOT NULL,
    note   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS audit_sequencer (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    holder      TEXT NOT NULL,
    fence       BIGINT NOT NULL,
    expires     BIGINT NOT NULL,
    size        BIGINT NOT NULL,
    sequenced   BIGINT NOT NULL,
    checkpoints BIGINT NOT NULL
);
INSERT INTO audit_sequencer (id, holder, fence, expires, size, sequenced, checkpoints)
VALUES (1, '', 0, 0, 0, 0, 0) ON CONFLICT (id) DO NOTHING;

CREATE TABLE IF NOT EXISTS audit_viewing (
    id             TEXT PRIMARY KEY, -- also the id of the leaf that opened it
    clip           TEXT NOT NULL,
    camera         TEXT NOT NULL,
    permit         TEXT NOT NULL,
    permit_version BIGINT NOT NULL,
    actor          TEXT NOT NULL,
    role           TEXT NOT NULL,
    session        TEXT NOT NULL,
    remote         TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    kase           TEXT NOT NULL,
    opened         BIGINT NOT NULL,
    active         BIGINT NOT NULL,
    closed         BIGINT,
    closing        TEXT              -- id of the leaf that closed it
);
CREATE UNIQUE INDEX IF NOT EXISTS audit_viewing_open
    ON audit_viewing (actor, session, clip, purpose, kase) WHERE closed IS NULL;
CREATE INDEX IF NOT EXISTS audit_viewing_closing ON audit_viewing (closing);

CREATE TABLE IF NOT EXISTS audit_response (
    id      TEXT PRIMARY KEY,
    viewing TEXT NOT NULL REFERENCES audit_viewing (id),
    begun   BIGINT NOT NULL,
    ended   BIGINT,
    bytes   BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_response_viewing ON audit_response (viewing);
