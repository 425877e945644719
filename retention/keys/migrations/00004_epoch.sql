-- +goose Up
-- Of which installation these keys are, and of which epoch: keys that are older than the rows beside them are found by it.
CREATE TABLE keys_epoch (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    installation TEXT   NOT NULL,
    epoch        BIGINT NOT NULL
);
-- +goose Down
DROP TABLE keys_epoch;
