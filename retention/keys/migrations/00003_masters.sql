-- +goose Up
-- When somebody last asked for the key of a case, to place a hold that may not be there yet.
ALTER TABLE keys_case ADD COLUMN asked_us BIGINT NOT NULL DEFAULT 0;

-- Under which master key keys are sealed from here: what is sealed under another one, or under an older version of it, is
-- taken no more. Empty: it was never rotated, and any is taken.
CREATE TABLE keys_master (
    one       BIGINT PRIMARY KEY CHECK (one = 1),
    name      TEXT   NOT NULL,             -- file:FINGERPRINT, transit:ENGINE/KEY
    version   BIGINT NOT NULL,             -- of that key, at least
    leaving   TEXT   NOT NULL DEFAULT '',  -- the master key that is being left; empty: none
    step      TEXT   NOT NULL DEFAULT '',  -- how far a rotation is: resealing, destroying; empty: none is under way
    since_us  BIGINT NOT NULL
);
-- +goose Down
DROP TABLE keys_master;
ALTER TABLE keys_case DROP COLUMN asked_us;
