-- +goose Up
-- Each clip that is reserved asks whether its camera's last one has ended, and holds the database's lock meanwhile.
CREATE INDEX catalogue_clip_unended ON catalogue_clip (camera) WHERE end_us = 0;
-- A sweeper goes round what is left over in order of ids.
DROP INDEX catalogue_clip_deleting;
CREATE INDEX catalogue_clip_deleting ON catalogue_clip (id) WHERE state = 'deleting';
-- Tombstones stay for ever, and need no key.
DROP INDEX catalogue_clip_key;
CREATE INDEX catalogue_clip_key ON catalogue_clip (permit, key_day) WHERE state <> 'deleted';
-- +goose Down
DROP INDEX catalogue_clip_key;
CREATE INDEX catalogue_clip_key ON catalogue_clip (permit, key_day);
DROP INDEX catalogue_clip_deleting;
CREATE INDEX catalogue_clip_deleting ON catalogue_clip (shredded_us) WHERE state = 'deleting';
DROP INDEX catalogue_clip_unended;
