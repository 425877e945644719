-- +goose Up
-- Whether the key of a case is still needed is asked for each case, every few seconds.
CREATE INDEX catalogue_clip_case ON catalogue_clip (key_case) WHERE key_case <> '' AND state <> 'deleted';
CREATE INDEX catalogue_hold_case ON catalogue_hold (case_number);
-- +goose Down
DROP INDEX catalogue_hold_case;
DROP INDEX catalogue_clip_case;
