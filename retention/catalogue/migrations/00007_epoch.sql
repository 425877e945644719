-- +goose Up
-- Which installation this is, and how often it was copied or put back. The object store and the key store are told the same
-- number: rows that are older than what lies beside them are found by it.
CREATE TABLE catalogue_epoch (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    installation TEXT   NOT NULL,            -- ULID
    epoch        BIGINT NOT NULL,
    since_us     BIGINT NOT NULL,
    stored_us    BIGINT NOT NULL DEFAULT 0,  -- when the object store was told; 0: not yet
    keyed_us     BIGINT NOT NULL DEFAULT 0,  -- when the key store was told; 0: not yet
    restoring    TEXT   NOT NULL DEFAULT '', -- the backup that is being put back: nobody may serve, record or delete
    unreconciled BIGINT NOT NULL DEFAULT 0   -- 1: what lies in the object store without a row waits for an operator's word
);
-- +goose Down
DROP TABLE catalogue_epoch;
