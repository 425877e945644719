-- +goose Up
-- What is to be cut out, and whose cut was begun, is asked every few seconds, in order of holds: those that are over stay for ever.
CREATE INDEX catalogue_held_uncut ON catalogue_held (hold, clip) WHERE over_us = 0 AND cut = '';
CREATE INDEX catalogue_held_begun ON catalogue_held (hold, clip) WHERE over_us = 0 AND cut <> '';
-- What opens a clip for a case is asked each second by who watches it: the first hold's, without sorting.
DROP INDEX catalogue_held_clip;
CREATE INDEX catalogue_held_clip ON catalogue_held (clip, hold) WHERE over_us = 0;
-- +goose Down
DROP INDEX catalogue_held_clip;
CREATE INDEX catalogue_held_clip ON catalogue_held (clip) WHERE over_us = 0;
DROP INDEX catalogue_held_begun;
DROP INDEX catalogue_held_uncut;
