-- +goose Up
-- Holds on a clip, counted in its row: whoever deletes and whoever holds meet there.
ALTER TABLE catalogue_clip ADD COLUMN holds BIGINT NOT NULL DEFAULT 0;     -- in force
ALTER TABLE catalogue_clip ADD COLUMN cased_us BIGINT NOT NULL DEFAULT 0;  -- its deadline passed under a hold: since then only a case's key opens it
ALTER TABLE catalogue_clip ADD COLUMN parent TEXT NOT NULL DEFAULT '';     -- the clip that this one was cut out of, into a case
ALTER TABLE catalogue_clip ADD COLUMN key_case TEXT NOT NULL DEFAULT '';   -- the case whose key seals it; empty: its day key
ALTER TABLE catalogue_clip ADD COLUMN barrier BIGINT NOT NULL DEFAULT 0;   -- the store's own legal hold: 0 off, 1 perhaps, 2 on
-- What is held past its deadline is not due, and needs no day key.
DROP INDEX catalogue_clip_due;
CREATE INDEX catalogue_clip_due ON catalogue_clip (deadline_us) WHERE cased_us = 0 AND state IN ('pending', 'committed', 'partial', 'lost');
DROP INDEX catalogue_clip_key;
CREATE INDEX catalogue_clip_key ON catalogue_clip (permit, key_day) WHERE state <> 'deleted' AND cased_us = 0 AND key_case = '';
CREATE INDEX catalogue_clip_parent ON catalogue_clip (parent) WHERE parent <> '';
CREATE INDEX catalogue_clip_barrier ON catalogue_clip (id) WHERE (holds > 0 AND barrier < 2) OR (holds = 0 AND barrier > 0);

-- How much is stored is asked each minute.
CREATE INDEX catalogue_clip_stored ON catalogue_clip (state, size) WHERE state IN ('committed', 'partial', 'deleting');

-- A hold keeps clips for a case beyond their deadline, until two people lift it.
CREATE TABLE catalogue_hold (
    id            TEXT   PRIMARY KEY,          -- ULID
    kind          TEXT   NOT NULL,             -- evidence, access-request
    case_number   TEXT   NOT NULL,
    basis         TEXT   NOT NULL,             -- on what ground
    requester     TEXT   NOT NULL,
    approver      TEXT   NOT NULL,
    camera        TEXT   NOT NULL DEFAULT '',  -- of a hold on a stretch of time; empty: on clips by name
    from_us       BIGINT NOT NULL DEFAULT 0,
    to_us         BIGINT NOT NULL DEFAULT 0,
    review_us     BIGINT NOT NULL,
    placed_us     BIGINT NOT NULL,
    lift_asked_us BIGINT NOT NULL DEFAULT 0,
    lift_asked_by TEXT   NOT NULL DEFAULT '',
    lift_reason   TEXT   NOT NULL DEFAULT '',
    lifted_us     BIGINT NOT NULL DEFAULT 0,   -- 0: in force
    lifted_by     TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX catalogue_hold_in_force ON catalogue_hold (case_number) WHERE lifted_us = 0;

-- What a hold keeps: the clip's header and its file key, sealed to the case. When a hold is lifted its rows lose both.
CREATE TABLE catalogue_held (
    hold     TEXT   NOT NULL,
    clip     TEXT   NOT NULL,
    from_us  BIGINT NOT NULL,                  -- which part of the clip
    to_us    BIGINT NOT NULL,                  -- 0: to its end, which is not known yet
    header   BYTEA,                            -- empty where the clip itself is sealed to the case
    file_key BYTEA,
    cut      TEXT   NOT NULL DEFAULT '',       -- the clip that holds the part since it was cut out
    over_us  BIGINT NOT NULL DEFAULT 0,        -- when the hold let go of this clip: lifted, or cut out
    PRIMARY KEY (hold, clip)
);
CREATE INDEX catalogue_held_clip ON catalogue_held (clip) WHERE over_us = 0;
-- +goose Down
DROP TABLE catalogue_held;
DROP TABLE catalogue_hold;
DROP INDEX catalogue_clip_stored;
DROP INDEX catalogue_clip_barrier;
DROP INDEX catalogue_clip_parent;
DROP INDEX catalogue_clip_key;
CREATE INDEX catalogue_clip_key ON catalogue_clip (permit, key_day) WHERE state <> 'deleted';
DROP INDEX catalogue_clip_due;
CREATE INDEX catalogue_clip_due ON catalogue_clip (deadline_us) WHERE state IN ('pending', 'committed', 'partial', 'lost');
ALTER TABLE catalogue_clip DROP COLUMN barrier;
ALTER TABLE catalogue_clip DROP COLUMN key_case;
ALTER TABLE catalogue_clip DROP COLUMN parent;
ALTER TABLE catalogue_clip DROP COLUMN cased_us;
ALTER TABLE catalogue_clip DROP COLUMN holds;
