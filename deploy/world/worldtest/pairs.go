// Package worldtest makes worlds for tests, over each pair of stores.
package worldtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/deploy/world"
)

// Pair is a database and an object store that worlds are made over.
type Pair struct {
	Name  string
	Fresh func(ctx context.Context) (world.Addresses, error) // an empty world
	Drop  func(ctx context.Context, a world.Addresses) error
	Store *testenv.S3 // nil: a directory
}

// QuickDisk lets what a test makes lie in memory, where there is room: a killed process loses nothing that it has written, wherever
// that lies, and syncing to a disk would be most of the campaign's time.
func QuickDisk(t *testing.T) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &st); err == nil && st.Bavail*uint64(st.Bsize) > 3<<30 {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

// Embedded is SQLite and a directory, in worlds whose time begins at start.
func Embedded(t *testing.T, start time.Time) Pair {
	t.Helper()
	root := t.TempDir()
	model := filepath.Join(root, "model")
	if err := world.Make(t.Context(), world.Addresses{Folder: model}, start); err != nil {
		t.Fatal(err)
	}
	n := 0
	return Pair{
		Name: "sqlite+directory",
		Fresh: func(context.Context) (world.Addresses, error) {
			n++
			a := world.Addresses{Folder: filepath.Join(root, fmt.Sprintf("w%d", n))}
			return a, Copy(a.Folder, model)
		},
		Drop: func(_ context.Context, a world.Addresses) error { return os.RemoveAll(a.Folder) },
	}
}

// Copy copies the folder of a world that nobody has open. Keys that others may read are refused.
func Copy(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return errors.Join(os.Chmod(filepath.Join(to, "master", "master.key"), 0o600), os.Chmod(filepath.Join(to, "audit", "audit.key"), 0o600))
}

// Servers is PostgreSQL and MinIO, one server each, with worlds whose time begins at start. Every world has two databases, a bucket with object lock and a folder.
func Servers(t *testing.T, start time.Time) Pair {
	t.Helper()
	postgres, store := testenv.StartPostgres(t), testenv.MinIO(t)
	root, credentials, admin := t.TempDir(), testenv.Credentials(t, store.Access, store.Secret), store.Admin(t)
	db, err := sql.Open("pgx", postgres.Server())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	bucket := func(ctx context.Context, name string) (string, error) {
		err := admin.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: "us-east-1", ObjectLocking: true})
		return fmt.Sprintf("s3://%s/%s?tls=false&credentials=%s", store.Address, name, url.QueryEscape(credentials)), err
	}
	address := func(database string) string {
		u, err := url.Parse(postgres.Server())
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + database
		return u.String()
	}
	model := world.Addresses{Folder: filepath.Join(root, "model"), Catalogue: address("model_rows"), Keys: address("model_keys")}
	for _, name := range []string{"model_rows", "model_keys"} {
		if _, err := db.ExecContext(t.Context(), `CREATE DATABASE `+name); err != nil {
			t.Fatal(err)
		}
	}
	if model.Objects, err = bucket(t.Context(), "model"); err != nil {
		t.Fatal(err)
	}
	if err := world.Make(t.Context(), model, start); err != nil {
		t.Fatal(err)
	}
	return Pair{
		Name: "postgresql+minio", Store: store,
		Fresh: func(ctx context.Context) (a world.Addresses, err error) {
			name := "w" + strings.ToLower(rand.Text())
			a = world.Addresses{Folder: filepath.Join(root, name), Catalogue: address(name + "_rows"), Keys: address(name + "_keys")}
			for _, kind := range []string{"_rows", "_keys"} {
				if _, err := db.ExecContext(ctx, `CREATE DATABASE `+name+kind+` TEMPLATE model`+kind); err != nil {
					return a, err
				}
			}
			if a.Objects, err = bucket(ctx, name); err != nil {
				return a, err
			}
			return a, Copy(a.Folder, model.Folder)
		},
		Drop: func(ctx context.Context, a world.Addresses) error {
			for _, kind := range []string{"_rows", "_keys"} {
				if _, err := db.ExecContext(ctx, `DROP DATABASE `+filepath.Base(a.Folder)+kind+` WITH (FORCE)`); err != nil {
					return err
				}
			}
			return os.RemoveAll(a.Folder)
		},
	}
}
