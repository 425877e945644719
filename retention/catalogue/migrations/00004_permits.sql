-- +goose Up
-- What became of each permit version, in order. A version without a step is a draft.
CREATE TABLE catalogue_permit_step (
    id           TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    step         BIGINT NOT NULL,            -- 1, 2, … of its version
    state        TEXT   NOT NULL,
    at_us        BIGINT NOT NULL,
    actor        TEXT   NOT NULL,
    reason       TEXT   NOT NULL DEFAULT '',
    unlawful     BIGINT NOT NULL DEFAULT 0,  -- 1: revoked, and what was collected must be erased
    effective_us BIGINT NOT NULL DEFAULT 0,  -- from when a revocation holds; 0: from at_us
    PRIMARY KEY (id, version, step)
);
INSERT INTO catalogue_permit_step (id, version, step, state, at_us, actor)
    SELECT id, version, 1, 'active', activated_us, 'service:init' FROM catalogue_permit;

-- What was declared of the square, revision by revision: cameras, zones, groups. Permits are in the tables above.
CREATE TABLE catalogue_square (
    revision   BIGINT PRIMARY KEY,
    document   TEXT   NOT NULL,
    sha256     TEXT   NOT NULL,
    applied_us BIGINT NOT NULL,
    actor      TEXT   NOT NULL
);

-- Which clause of which permit version says that a camera may not record.
ALTER TABLE catalogue_gap ADD COLUMN permit TEXT NOT NULL DEFAULT '';
ALTER TABLE catalogue_gap ADD COLUMN clause TEXT NOT NULL DEFAULT '';
-- From when a clip's retention counts (0: its start), and what moved its deadline since.
ALTER TABLE catalogue_clip ADD COLUMN counted_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE catalogue_clip ADD COLUMN rule TEXT NOT NULL DEFAULT '';
CREATE INDEX catalogue_clip_permit ON catalogue_clip (permit) WHERE state IN ('pending', 'committed', 'partial', 'lost');
-- +goose Down
DROP INDEX catalogue_clip_permit;
ALTER TABLE catalogue_clip DROP COLUMN rule;
ALTER TABLE catalogue_clip DROP COLUMN counted_us;
ALTER TABLE catalogue_gap DROP COLUMN clause;
ALTER TABLE catalogue_gap DROP COLUMN permit;
DROP TABLE catalogue_square;
DROP TABLE catalogue_permit_step;
