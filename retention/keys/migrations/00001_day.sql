-- +goose Up
CREATE TABLE keys_day (
    permit    TEXT   NOT NULL,
    day       TEXT   NOT NULL, -- UTC, 2006-01-02
    recipient TEXT   NOT NULL,
    sealed    BYTEA  NOT NULL, -- age identity, sealed under the master key
    minted_us BIGINT NOT NULL,
    PRIMARY KEY (permit, day)
);
-- +goose Down
DROP TABLE keys_day;
