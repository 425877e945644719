-- +goose Up
ALTER TABLE occupancy_sample ADD COLUMN method TEXT NOT NULL DEFAULT ''; -- how it was counted; '' is not told
-- +goose Down
ALTER TABLE occupancy_sample DROP COLUMN method;
