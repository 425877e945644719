-- +goose Up
-- An entry waits here, in the transaction of what it records, until the sequencer gives it its number. So nobody
-- who logs needs a right to the log itself, and what was numbered is never changed again.
CREATE TABLE audit_pending (
    id    TEXT PRIMARY KEY,  -- ULID; within one process in the order of appending
    at    BIGINT NOT NULL,
    entry BYTEA NOT NULL
);

ALTER TABLE audit_leaf RENAME TO audit_unordered;
DROP INDEX audit_leaf_seq;
DROP INDEX audit_leaf_pending;
DROP INDEX audit_leaf_object;
DROP INDEX audit_leaf_kase;
DROP INDEX audit_leaf_actor;
DROP INDEX audit_leaf_viewing;

CREATE TABLE audit_leaf (
    seq       BIGINT NOT NULL,
    id        TEXT NOT NULL,
    sequenced BIGINT NOT NULL,   -- never decreases; hashed with the entry
    at        BIGINT NOT NULL,
    event     TEXT NOT NULL,
    actor     TEXT NOT NULL,
    object    TEXT NOT NULL,
    kase      TEXT NOT NULL,
    entry     BYTEA NOT NULL,    -- the JSON that is hashed; the columns above repeat it for searching
    CONSTRAINT audit_leaf_numbered PRIMARY KEY (seq),
    CONSTRAINT audit_leaf_named UNIQUE (id)
);
INSERT INTO audit_leaf (seq, id, sequenced, at, event, actor, object, kase, entry)
    SELECT seq, id, sequenced, at, event, actor, object, kase, entry FROM audit_unordered WHERE seq IS NOT NULL ORDER BY seq;
INSERT INTO audit_pending (id, at, entry) SELECT id, at, entry FROM audit_unordered WHERE seq IS NULL;
DROP TABLE audit_unordered;
CREATE INDEX audit_leaf_object ON audit_leaf (object, seq);
CREATE INDEX audit_leaf_kase ON audit_leaf (kase, seq) WHERE kase <> '';
CREATE INDEX audit_leaf_actor ON audit_leaf (actor, seq);
CREATE INDEX audit_leaf_event ON audit_leaf (event, seq);
CREATE INDEX audit_leaf_at ON audit_leaf (at);

-- The tree as C2SP tlog-tiles. The sequencer makes them anew from the leaves where an older log has none.
CREATE TABLE audit_tile (
    level  BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    hashes BYTEA NOT NULL,       -- up to 256 of 32 bytes
    PRIMARY KEY (level, n)
);
DROP TABLE audit_hash;

ALTER TABLE audit_checkpoint ADD COLUMN rotation BIGINT NOT NULL DEFAULT 0; -- 1: the signing key changes here
CREATE INDEX audit_checkpoint_rotation ON audit_checkpoint (number) WHERE rotation = 1;
CREATE INDEX audit_checkpoint_size ON audit_checkpoint (size);

ALTER TABLE audit_sequencer ADD COLUMN first_leaf BIGINT NOT NULL DEFAULT 0;       -- older ones were pruned
ALTER TABLE audit_sequencer ADD COLUMN first_checkpoint BIGINT NOT NULL DEFAULT 1;

-- What witnesses said: the newest word of each within an hour.
CREATE TABLE audit_cosignature (
    witness TEXT NOT NULL,
    vkey    TEXT NOT NULL,       -- its verifier key, so that its word can be checked when it is no witness any more
    hour    BIGINT NOT NULL,
    number  BIGINT NOT NULL,     -- of the checkpoint
    size    BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    line    TEXT NOT NULL,
    PRIMARY KEY (witness, hour)
);
CREATE INDEX audit_cosignature_number ON audit_cosignature (number);
