-- +goose Up
CREATE TABLE catalogue_clip (
    id             TEXT   PRIMARY KEY,          -- ULID
    camera         TEXT   NOT NULL,
    permit         TEXT   NOT NULL,
    permit_version BIGINT NOT NULL,
    start_us       BIGINT NOT NULL,
    end_us         BIGINT NOT NULL DEFAULT 0,   -- 0: still open
    camera_us      BIGINT NOT NULL DEFAULT 0,   -- 0: the camera told no time
    clock_flagged  BIGINT NOT NULL DEFAULT 0,
    deadline_us    BIGINT NOT NULL,
    state          TEXT   NOT NULL,
    key_day        TEXT   NOT NULL,
    object_key     TEXT   NOT NULL UNIQUE,
    object_version TEXT   NOT NULL DEFAULT '',
    size           BIGINT NOT NULL DEFAULT 0,
    plain_size     BIGINT NOT NULL DEFAULT 0,
    sha256         BYTEA,
    frames         BIGINT NOT NULL DEFAULT 0,
    codec          TEXT   NOT NULL,
    node           TEXT   NOT NULL,
    shredded_us    BIGINT NOT NULL DEFAULT 0,
    deleted_us     BIGINT NOT NULL DEFAULT 0,
    removed        BIGINT NOT NULL DEFAULT 0,   -- versions, markers and parts that deletion removed
    listed         BIGINT NOT NULL DEFAULT 0    -- what the listing afterwards still found
);
CREATE INDEX catalogue_clip_by_time ON catalogue_clip (camera, start_us);
CREATE INDEX catalogue_clip_due ON catalogue_clip (deadline_us) WHERE state IN ('pending', 'committed', 'partial', 'lost');
CREATE INDEX catalogue_clip_deleting ON catalogue_clip (shredded_us) WHERE state = 'deleting';
CREATE INDEX catalogue_clip_deleted ON catalogue_clip (deleted_us) WHERE state = 'deleted';
CREATE INDEX catalogue_clip_open ON catalogue_clip (node) WHERE state = 'pending' OR end_us = 0;
CREATE INDEX catalogue_clip_key ON catalogue_clip (permit, key_day);

-- The wrapped file keys, apart so that listing clips stays narrow. A clip without a row here is unreadable.
CREATE TABLE catalogue_header (
    clip   TEXT  PRIMARY KEY,
    header BYTEA NOT NULL
);

-- Why a camera's time between clips is not recorded.
CREATE TABLE catalogue_gap (
    id      TEXT   PRIMARY KEY,                 -- ULID
    camera  TEXT   NOT NULL,
    from_us BIGINT NOT NULL,
    to_us   BIGINT NOT NULL DEFAULT 0,          -- 0: still open
    cause   TEXT   NOT NULL,
    detail  TEXT   NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX catalogue_gap_open ON catalogue_gap (camera) WHERE to_us = 0;
CREATE INDEX catalogue_gap_by_time ON catalogue_gap (camera, from_us);

-- The public halves of the day keys: all that the recording side ever sees of them.
CREATE TABLE catalogue_recipient (
    permit    TEXT NOT NULL,
    day       TEXT NOT NULL,
    recipient TEXT NOT NULL,
    PRIMARY KEY (permit, day)
);

-- Every permit version under which something was recorded, as it stood.
CREATE TABLE catalogue_permit (
    id           TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    document     TEXT   NOT NULL,
    activated_us BIGINT NOT NULL,
    PRIMARY KEY (id, version)
);
-- +goose Down
DROP TABLE catalogue_permit;
DROP TABLE catalogue_recipient;
DROP TABLE catalogue_gap;
DROP TABLE catalogue_header;
DROP TABLE catalogue_clip;
