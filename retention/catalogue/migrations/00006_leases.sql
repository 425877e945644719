-- +goose Up
-- Which sweeper has a clip that is being deleted in its charge, until when by this database's clock, and how often it was
-- taken: what ends a deletion names that number.
ALTER TABLE catalogue_clip ADD COLUMN sweeper TEXT NOT NULL DEFAULT '';
ALTER TABLE catalogue_clip ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE catalogue_clip ADD COLUMN lease_us BIGINT NOT NULL DEFAULT 0;
-- How long ago the oldest of them was due is asked at every scrape.
CREATE INDEX catalogue_clip_removal ON catalogue_clip (deadline_us) WHERE state = 'deleting';
-- +goose Down
DROP INDEX catalogue_clip_removal;
ALTER TABLE catalogue_clip DROP COLUMN lease_us;
ALTER TABLE catalogue_clip DROP COLUMN fence;
ALTER TABLE catalogue_clip DROP COLUMN sweeper;
