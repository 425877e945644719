package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"klarsyn/camera/occupancy"
	"klarsyn/policy/audit"
	"klarsyn/policy/identity"
	"klarsyn/policy/rules"
	"klarsyn/retention/catalogue"
	"klarsyn/retention/database"
	"klarsyn/retention/keys"
	"klarsyn/retention/object"
	"klarsyn/retention/object/dir"
	"klarsyn/retention/object/s3"
)

// addresses say where a square keeps what does not lie in its data directory. An empty one means: there.
type addresses struct {
	objects   string // s3://HOST[:PORT]/BUCKET
	catalogue string // postgres://USER@HOST/DATABASE
	keys      string // postgres://USER@HOST/DATABASE, another one

	master       string // file, or hashivault://KEY?server=…
	masterBefore string // the master key that is being left
}

func (a *addresses) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.objects, "objects", "", "where sealed clips lie: s3://HOST[:PORT]/BUCKET[?credentials=FILE&ca=FILE&region=NAME&tls=false] (default: objects in the configuration, else the data directory)")
	cmd.Flags().StringVar(&a.catalogue, "catalogue", "", "where rows and the log lie: postgres://USER@HOST/DATABASE[?sslmode=…&passfile=FILE] (default: catalogue in the configuration, else the data directory)")
	cmd.Flags().StringVar(&a.master, "master", "", "the master key: file, or hashivault://KEY?server=https://HOST:PORT[&engine=NAME&token=FILE&ca=FILE] (default: master in the configuration, else the file)")
	cmd.Flags().StringVar(&a.masterBefore, "master-before", "", "the master key that is being left, until it is rotated (default: master_before in the configuration)")
	cmd.Flags().StringVar(&a.keys, "keys", "", "where the sealed day keys lie, apart from the catalogue: postgres://USER@HOST/DATABASE (default: keys in the configuration, else the data directory)")
}

// over is a where it says something, else b.
func (a addresses) over(b addresses) addresses {
	for _, pair := range []struct{ mine, other *string }{{&a.objects, &b.objects}, {&a.catalogue, &b.catalogue}, {&a.keys, &b.keys},
		{&a.master, &b.master}, {&a.masterBefore, &b.masterBefore}} {
		if *pair.mine == "" {
			*pair.mine = *pair.other
		}
	}
	return a
}

// configured is a over the addresses of a configuration; a data directory without one has none.
func (a addresses) configured(l layout, path string) (addresses, error) {
	if path == "" {
		if _, err := os.Stat(l.config()); err != nil {
			return a, a.check()
		}
		path = l.config()
	}
	s, err := loadSquare(path)
	if err != nil {
		return a, err
	}
	a = a.over(s.addresses)
	if err := a.check(); err != nil {
		return a, usageError{err}
	}
	return a, nil
}

// check says which address is none. It quotes no address: somebody may have put a password into it.
func (a addresses) check() error {
	if a.objects != "" {
		if _, err := s3.ParseAddress(a.objects); err != nil {
			return err
		}
	}
	for name, address := range map[string]string{"catalogue": a.catalogue, "keys": a.keys} {
		if address == "" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			return fmt.Errorf("%s: want postgres://USER@HOST[:PORT]/DATABASE", name)
		}
		if _, written := u.User.Password(); written || u.Query().Has("password") {
			return fmt.Errorf("%s: the address holds a password: write it into a file of mode 0600, as *:*:*:USER:PASSWORD, and name that with passfile=FILE", name)
		}
	}
	for _, address := range []string{a.master, a.masterBefore} {
		if isFile(address) {
			continue
		}
		if _, err := keys.ParseTransit(address); err != nil {
			return err
		}
	}
	if a.keys != "" && a.keys == a.catalogue {
		return errors.New("keys: the day keys lie in a database of their own, whose backups live shorter than the catalogue's: name another one")
	}
	return nil
}

// catalogueTables are what the database that the three processes share holds, by owner.
func catalogueTables() []database.Owner {
	return []database.Owner{
		{Name: "audit", Files: audit.Migrations()}, {Name: "rules", Files: rules.Migrations()}, {Name: "identity", Files: identity.Migrations()},
		{Name: "catalogue", Files: catalogue.Migrations()}, {Name: "occupancy", Files: occupancy.Migrations()},
	}
}

// keyTables are what the key store holds.
func keyTables() []database.Owner { return []database.Owner{{Name: "keys", Files: keys.Migrations()}} }

// rows is an open database.
type rows struct {
	*sql.DB
	dialect string
}

// scrub empties what the database keeps of deleted rows, where that is in our reach.
func (r rows) scrub(ctx context.Context) error { return database.Scrub(ctx, r.DB, r.dialect) }

// openCatalogue opens the database that the three processes share.
func openCatalogue(ctx context.Context, l layout, a addresses) (rows, error) {
	if _, err := os.Stat(l.audit()); err != nil {
		return rows{}, usageError{fmt.Errorf("%s is no data directory of Klarsyn (%w); make one with: klarsyn init --data %s", l.root, err, l.root)}
	}
	if err := l.open(); err != nil {
		return rows{}, err
	}
	return openRows(ctx, l.catalogue(), a.catalogue, false, catalogueTables())
}

// openKeyStore opens the database of day keys, which is apart so that its backups can live shorter.
func openKeyStore(ctx context.Context, l layout, a addresses) (rows, error) {
	return openRows(ctx, l.keyStore(), a.keys, false, keyTables())
}

// openRows opens the database at address, or the file. A file's tables are brought up to date by whoever opens
// it; those on a server by its owner alone, who migrates.
func openRows(ctx context.Context, file, address string, migrate bool, tables []database.Owner) (_ rows, err error) {
	r := rows{dialect: database.SQLite}
	if address != "" {
		r.dialect = database.Postgres
		r.DB, err = database.OpenPostgres(ctx, address)
	} else {
		migrate = true
		var unlock func()
		if unlock, err = lockFile(ctx, file+".lock"); err != nil {
			return rows{}, err
		}
		defer unlock()
		r.DB, err = database.OpenSQLite(ctx, file)
	}
	if err != nil {
		return rows{}, err
	}
	if migrate {
		err = database.Migrate(ctx, r.DB, r.dialect, tables...)
	} else {
		err = database.Current(ctx, r.DB, r.dialect, tables...)
	}
	if errors.Is(err, database.ErrOutdated) {
		err = usageError{fmt.Errorf("%w; bring it up to date with: klarsyn init, as the owner of the database", err)}
	}
	if err != nil {
		return rows{}, errors.Join(err, r.Close())
	}
	return r, nil
}

// objects is an open object store.
type objects struct {
	object.Store
	folder string // empty on a server
	close  func()
}

// probeTime is how long a store may take to show what it can.
const storeProbeTime = 30 * time.Second

// openObjects opens the store and, on a server, tries what this process relies on. A server that cannot be
// reached is no reason not to start: what is recorded meanwhile waits in the spool.
func openObjects(ctx context.Context, l layout, a addresses, rights s3.Right, logger *slog.Logger) (objects, error) {
	if a.objects == "" {
		d, err := dir.Open(l.objects())
		return objects{d, l.objects(), func() {}}, err
	}
	cfg, err := s3.ParseAddress(a.objects)
	if err != nil {
		return objects{}, usageError{err}
	}
	for _, file := range []*string{&cfg.CA, &cfg.Credentials} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(l.root, *file)
		}
	}
	s, err := s3.Open(cfg)
	if err != nil {
		return objects{}, usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, storeProbeTime)
	defer cancel()
	switch err := s.Probe(ctx, rights); {
	case errors.Is(err, object.ErrUnreachable):
		logger.Error("the object store cannot be reached: it is tried again with every clip", "err", err)
	case err != nil:
		s.Close()
		return objects{}, usageError{err}
	}
	return objects{s, "", s.Close}, nil
}

// answers asks for an object that nobody ever stored: any answer will do. A folder is asked for itself as
// well, since in one that was unmounted there is no such object either.
func (o objects) answers(ctx context.Context) error {
	if _, err := o.Stat(ctx, "clips/none/probe"); err != nil && !errors.Is(err, object.ErrNotFound) && !errors.Is(err, object.ErrDenied) {
		return err
	}
	if o.folder == "" {
		return nil
	}
	_, err := os.Stat(o.folder)
	return err
}
