-- +goose Up
CREATE TABLE IF NOT EXISTS rules_revision (
    revision TEXT PRIMARY KEY,
    since    BIGINT NOT NULL, -- first put in force, microseconds UTC
    model    TEXT NOT NULL,
    policy   TEXT NOT NULL,
    truth    TEXT NOT NULL
);
