-- What each process may do with the sealed day keys. ingest and fsck do not even get in.
BEGIN;
GRANT CONNECT ON DATABASE :"name" TO :"serve", :"retain";
GRANT USAGE ON SCHEMA public TO :"serve", :"retain";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"serve", :"retain";
GRANT SELECT ON keys_migrations TO :"serve", :"retain";
GRANT SELECT ON keys_day TO :"serve";
GRANT SELECT, INSERT, DELETE ON keys_day TO :"retain";
-- serve mints the key of a case when a hold is placed, and notes that it was asked for; retain destroys it when no hold needs it.
GRANT SELECT, INSERT, UPDATE (asked_us) ON keys_case TO :"serve";
GRANT SELECT, DELETE ON keys_case TO :"retain";
-- Under which master key keys are kept: only the owner, who rotates it, says that.
GRANT SELECT ON keys_master TO :"serve", :"retain";
-- Of which epoch the keys are.
GRANT SELECT ON keys_epoch TO :"serve", :"retain";
GRANT INSERT, UPDATE ON keys_epoch TO :"retain";
-- backup copies them, sealed as they are, and begins another epoch.
GRANT CONNECT ON DATABASE :"name" TO :"backup";
GRANT USAGE ON SCHEMA public TO :"backup";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"backup";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"backup";
GRANT INSERT, UPDATE ON keys_epoch TO :"backup";
COMMIT;
