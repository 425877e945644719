-- +goose Up
CREATE TABLE keys_case (
    case_number TEXT   PRIMARY KEY,
    recipient   TEXT   NOT NULL,
    sealed      BYTEA  NOT NULL, -- age identity, sealed under the master key
    minted_us   BIGINT NOT NULL
);
-- +goose Down
DROP TABLE keys_case;
