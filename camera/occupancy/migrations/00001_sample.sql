-- +goose Up
CREATE TABLE occupancy_sample (
    id      TEXT   PRIMARY KEY,          -- ULID: the order in which samples arrived
    camera  TEXT   NOT NULL,
    zone    TEXT   NOT NULL,
    time_us BIGINT NOT NULL,
    present DOUBLE PRECISION,            -- NULL: unknown, which is never zero
    moving  DOUBLE PRECISION,
    low     DOUBLE PRECISION,
    high    DOUBLE PRECISION,
    quality TEXT   NOT NULL
);
CREATE INDEX occupancy_sample_by_time ON occupancy_sample (camera, zone, time_us);
CREATE INDEX occupancy_sample_time ON occupancy_sample (time_us);
-- +goose Down
DROP TABLE occupancy_sample;
