-- +goose Up
CREATE TABLE IF NOT EXISTS identity_account (
    name     TEXT PRIMARY KEY,
    role     TEXT NOT NULL,
    hash     TEXT NOT NULL,   -- argon2id in PHC form
    created  BIGINT NOT NULL,
    changed  BIGINT NOT NULL, -- role, password or disabled; sessions from before are over
    disabled BIGINT
);

CREATE TABLE IF NOT EXISTS identity_session (
    token   TEXT PRIMARY KEY, -- hashed by the session manager
    data    BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    ended   BIGINT NOT NULL DEFAULT 0 -- 1: logged out; kept until it would have expired, so that it stays so
);
CREATE INDEX IF NOT EXISTS identity_session_expires ON identity_session (expires);
