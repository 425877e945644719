-- +goose Up
-- What opens the newest background that a camera's counter has learnt. Its bytes lie sealed with the recorder; without a row
-- here they are unreadable.
CREATE TABLE catalogue_background (
    camera      TEXT   PRIMARY KEY,
    identity    TEXT   NOT NULL,
    deadline_us BIGINT NOT NULL
);
-- +goose Down
DROP TABLE catalogue_background;
