-- +goose Up
CREATE TABLE IF NOT EXISTS rules_revision (
    revision TEXT PRIMARY KEY,
    since    BIGINT NOT NULL, -- last put in force, microseconds UTC; the newest is in force
    model    TEXT NOT NULL,
    policy   TEXT NOT NULL,
    truth    TEXT NOT NULL
);
