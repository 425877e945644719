-- What each process may do with the sealed day keys. ingest and fsck do not even get in.
BEGIN;
GRANT CONNECT ON DATABASE :"name" TO :"serve", :"retain";
GRANT USAGE ON SCHEMA public TO :"serve", :"retain";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"serve", :"retain";
GRANT SELECT ON keys_migrations TO :"serve", :"retain";
GRANT SELECT ON keys_day TO :"serve";
GRANT SELECT, INSERT, DELETE ON keys_day TO :"retain";
COMMIT;
