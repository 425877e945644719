-- What each process may do with rows and log. Run by postgres.sh; :ingest and so on are the roles' names.
BEGIN;
GRANT CONNECT ON DATABASE :"name" TO :"ingest", :"serve", :"retain", :"fsck";
GRANT USAGE ON SCHEMA public TO :"ingest", :"serve", :"retain", :"fsck";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"ingest", :"serve", :"retain", :"fsck";

-- Whether the tables are up to date.
GRANT SELECT ON audit_migrations, rules_migrations, identity_migrations, catalogue_migrations, occupancy_migrations
    TO :"ingest", :"serve", :"retain", :"fsck";
-- Everybody logs, nobody changes what was logged, and everybody sees how far the log is.
GRANT INSERT, SELECT (id, at) ON audit_pending TO :"ingest", :"serve", :"retain";
GRANT SELECT ON audit_sequencer TO :"ingest", :"serve", :"retain";
GRANT SELECT (seq, at) ON audit_leaf TO :"ingest";

-- Everybody hears of what was applied: without that nothing is recorded, shown or kept.
GRANT SELECT ON catalogue_permit, catalogue_permit_step, catalogue_square TO :"ingest", :"serve", :"retain", :"fsck";

-- Everybody asks of which epoch the rows are; ingest notes that it told the object store, retain the key store.
GRANT SELECT ON catalogue_epoch TO :"ingest", :"serve", :"retain", :"fsck";
GRANT UPDATE (stored_us) ON catalogue_epoch TO :"ingest";
GRANT UPDATE (keyed_us) ON catalogue_epoch TO :"retain";

-- ingest reserves, ends and commits clips, and tells gaps. It writes headers and reads none.
GRANT SELECT, INSERT ON catalogue_clip TO :"ingest";
GRANT UPDATE (end_us, frames, state, object_version, size, plain_size, sha256) ON catalogue_clip TO :"ingest";
GRANT INSERT, DELETE, SELECT (clip) ON catalogue_header TO :"ingest";
GRANT SELECT, INSERT, UPDATE, DELETE ON catalogue_gap TO :"ingest";
GRANT SELECT ON catalogue_recipient TO :"ingest";
-- A background is not footage: its counter goes on with it after a restart.
GRANT SELECT, INSERT, UPDATE ON catalogue_background TO :"ingest";
GRANT SELECT, INSERT ON occupancy_sample TO :"ingest";

-- serve reads, keeps accounts, sessions and viewings, and says which rules decide.
GRANT SELECT ON catalogue_clip, catalogue_header, catalogue_gap, occupancy_sample TO :"serve";
GRANT SELECT ON audit_leaf, audit_tile, audit_checkpoint TO :"serve";
GRANT SELECT, INSERT, UPDATE ON audit_cosignature TO :"serve";
GRANT SELECT, INSERT, UPDATE ON audit_viewing, audit_response, rules_revision, identity_account TO :"serve";
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_session TO :"serve";

-- What is applied comes through serve: permits and their steps, the revision, and deadlines that move down.
GRANT INSERT ON catalogue_permit, catalogue_permit_step, catalogue_square TO :"serve";
GRANT UPDATE (document, activated_us) ON catalogue_permit TO :"serve";
GRANT UPDATE (deadline_us, rule) ON catalogue_clip TO :"serve";
-- Whoever takes serve over changes no permit that was ever in force, and gives no clip a longer life.
CREATE OR REPLACE FUNCTION catalogue_permit_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM catalogue_permit_step s WHERE s.id = OLD.id AND s.version = OLD.version) THEN
        RAISE EXCEPTION 'permission denied: a permit version never changes once it was in force';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER catalogue_permit_stands BEFORE UPDATE ON catalogue_permit FOR EACH ROW EXECUTE FUNCTION catalogue_permit_stands();
CREATE OR REPLACE FUNCTION catalogue_deadline_falls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission denied: a deadline never moves to a later time';
END $$;
CREATE OR REPLACE TRIGGER catalogue_deadline_falls BEFORE UPDATE OF deadline_us ON catalogue_clip
    FOR EACH ROW WHEN (NEW.deadline_us > OLD.deadline_us) EXECUTE FUNCTION catalogue_deadline_falls();

-- serve places and lifts holds, and cuts parts of clips out into their cases: what it inserts is part of a clip that is there.
GRANT SELECT ON catalogue_hold, catalogue_held TO :"serve", :"retain", :"fsck";
GRANT INSERT ON catalogue_hold, catalogue_held TO :"serve";
-- Of a hold that stands it changes when it is looked at again and how it is lifted, and nothing of case, ground or people.
GRANT UPDATE (review_us, lift_asked_us, lift_asked_by, lift_reason, lifted_us, lifted_by) ON catalogue_hold TO :"serve";
GRANT UPDATE (from_us, to_us, cut, over_us, header, file_key) ON catalogue_held TO :"serve";
CREATE OR REPLACE FUNCTION catalogue_held_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.over_us = 0 OR NEW.header IS NOT NULL OR NEW.file_key IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied: what opens a held clip goes with its hold, and is never another';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER catalogue_held_keeps BEFORE UPDATE OF header, file_key ON catalogue_held
    FOR EACH ROW EXECUTE FUNCTION catalogue_held_keeps();
GRANT INSERT ON catalogue_clip TO :"serve";
GRANT INSERT, DELETE ON catalogue_header TO :"serve";
GRANT UPDATE (holds, state, shredded_us, object_version, size, plain_size, sha256) ON catalogue_clip TO :"serve";
-- Whoever takes serve over gives a part of a clip no longer life than the clip, and ends nothing that is held or not due. A
-- minute is for the clocks of two machines.
CREATE OR REPLACE FUNCTION catalogue_cut_inherits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM catalogue_clip p WHERE p.id = NEW.parent AND p.deadline_us = NEW.deadline_us AND p.camera = NEW.camera
            AND p.start_us <= NEW.start_us AND (p.end_us = 0 OR p.end_us >= NEW.end_us)) THEN
        RAISE EXCEPTION 'permission denied: a part of a clip lies within it and has its deadline';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER catalogue_cut_inherits BEFORE INSERT ON catalogue_clip
    FOR EACH ROW WHEN (NEW.parent <> '') EXECUTE FUNCTION catalogue_cut_inherits();
-- And of clips it makes and stores parts only; what was recorded is ingest's to end.
CREATE OR REPLACE FUNCTION catalogue_serve_cuts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> TG_ARGV[0] THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF COALESCE(NEW.parent, '') = '' THEN
            RAISE EXCEPTION 'permission denied: serve makes parts of clips, and records none';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.parent = '' AND (NEW.size <> OLD.size OR NEW.plain_size <> OLD.plain_size OR NEW.object_version <> OLD.object_version
            OR NEW.sha256 IS DISTINCT FROM OLD.sha256 OR NEW.state NOT IN (OLD.state, 'deleting')) THEN
        RAISE EXCEPTION 'permission denied: serve changes nothing of what was recorded';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER catalogue_serve_cuts BEFORE INSERT OR UPDATE OF state, size, plain_size, sha256, object_version ON catalogue_clip
    FOR EACH ROW EXECUTE FUNCTION catalogue_serve_cuts(:'serve');
-- A header is destroyed with its clip, or when a deadline passes under a hold, and not before.
CREATE OR REPLACE FUNCTION catalogue_header_dies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM catalogue_clip c WHERE c.id = OLD.clip AND c.cased_us = 0 AND c.state IN ('pending', 'committed', 'partial')) THEN
        RAISE EXCEPTION 'permission denied: what opens a clip is destroyed with the clip';
    END IF;
    RETURN OLD;
END $$;
CREATE OR REPLACE TRIGGER catalogue_header_dies BEFORE DELETE ON catalogue_header FOR EACH ROW EXECUTE FUNCTION catalogue_header_dies();
CREATE OR REPLACE FUNCTION catalogue_clip_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'lost' AND NEW.holds > 0 THEN
        RAISE EXCEPTION 'permission denied: what is held is not deleted';
    END IF;
    IF OLD.key_case = '' AND OLD.deadline_us > extract(epoch FROM clock_timestamp() + interval '1 minute') * 1000000 THEN
        RAISE EXCEPTION 'permission denied: nothing is deleted before its deadline';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER catalogue_clip_due BEFORE UPDATE OF state ON catalogue_clip
    FOR EACH ROW WHEN (NEW.state = 'deleting' AND OLD.state <> 'deleting') EXECUTE FUNCTION catalogue_clip_due();

-- retain ends what is due, says that permits expired, keeps recipients, and numbers the log.
GRANT SELECT ON catalogue_clip TO :"retain";
GRANT UPDATE (state, shredded_us, deleted_us, removed, listed, end_us, cased_us, barrier, sweeper, fence, lease_us) ON catalogue_clip TO :"retain";
GRANT DELETE, SELECT (clip) ON catalogue_header TO :"retain";
GRANT SELECT, INSERT, UPDATE, DELETE ON catalogue_recipient TO :"retain";
GRANT INSERT ON catalogue_permit_step TO :"retain";
GRANT DELETE, SELECT (camera, deadline_us) ON catalogue_background TO :"retain";
GRANT SELECT, DELETE ON audit_pending TO :"retain";
GRANT SELECT, INSERT ON audit_leaf, audit_checkpoint TO :"retain";
GRANT SELECT, INSERT, UPDATE ON audit_tile TO :"retain";
GRANT UPDATE ON audit_sequencer TO :"retain";
-- The log's own retention: what goes is signed for, whoever removes more is found by the next check, and nothing
-- younger than a year goes at all.
ALTER TABLE audit_leaf ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS audit_leaf_read ON audit_leaf;
CREATE POLICY audit_leaf_read ON audit_leaf FOR SELECT USING (true);
DROP POLICY IF EXISTS audit_leaf_number ON audit_leaf;
CREATE POLICY audit_leaf_number ON audit_leaf FOR INSERT TO :"retain" WITH CHECK (true);
DROP POLICY IF EXISTS audit_leaf_prune ON audit_leaf;
CREATE POLICY audit_leaf_prune ON audit_leaf FOR DELETE TO :"retain"
    USING (sequenced < extract(epoch FROM now() - interval '1 year') * 1000000);
GRANT DELETE ON audit_leaf, audit_checkpoint, audit_viewing, audit_response, audit_cosignature TO :"retain";
GRANT SELECT ON audit_viewing, audit_response, audit_cosignature TO :"retain";

-- fsck reads all of it, accounts and sessions apart.
GRANT SELECT ON catalogue_clip, catalogue_header, catalogue_gap, catalogue_recipient,
    audit_pending, audit_leaf, audit_tile, audit_checkpoint, audit_cosignature, audit_sequencer, audit_viewing, audit_response TO :"fsck";
GRANT SELECT (camera, deadline_us) ON catalogue_background TO :"fsck";

-- backup copies all of it, logs that it did, and begins another epoch.
GRANT CONNECT ON DATABASE :"name" TO :"backup";
GRANT USAGE ON SCHEMA public TO :"backup";
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"backup";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"backup";
GRANT INSERT ON audit_pending TO :"backup";
GRANT UPDATE (epoch, since_us, stored_us, keyed_us) ON catalogue_epoch TO :"backup";
COMMIT;
