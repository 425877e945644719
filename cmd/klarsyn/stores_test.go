package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// An address that is none is said to be none, and what stands in it is not said.
func TestAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		a    addresses
		want string
	}{
		"all in the data directory": {addresses{}, ""},
		"all elsewhere": {addresses{objects: "s3://h:9000/clips?credentials=/run/k", catalogue: "postgres://k@h/klarsyn?passfile=/run/p",
			keys: "postgresql://k@h/klarsyn_keys"}, ""},
		"an access key in the address":     {addresses{objects: "s3://AK:s3cret@h/clips"}, "credentials=FILE"},
		"a password in the address":        {addresses{catalogue: "postgres://k:s3cret@h/klarsyn"}, "passfile=FILE"},
		"a password among the options":     {addresses{keys: "postgres://k@h/klarsyn?password=s3cret"}, "passfile=FILE"},
		"another kind of database":         {addresses{catalogue: "mysql://k@h/s3cret"}, "postgres://USER@HOST"},
		"no database":                      {addresses{catalogue: "postgres://k@h"}, "postgres://USER@HOST"},
		"no address":                       {addresses{catalogue: "postgres://k:s3cret@:x y/"}, "postgres://USER@HOST"},
		"keys beside what they shall open": {addresses{catalogue: "postgres://k@h/one", keys: "postgres://k@h/one"}, "a database of their own"},
	} {
		err := c.a.check()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want something of %q and no secret", name, err, c.want)
		}
	}
}

// A flag goes over the configuration, for the process that it was given to.
func TestFlagsGoOverTheConfiguration(t *testing.T) {
	l := layout{t.TempDir()}
	describe(t, l, "cameras:\n", "objects: s3://configured/clips\ncatalogue: postgres://k@configured/klarsyn\ncameras:\n")
	a, err := addresses{objects: "s3://flag/clips"}.configured(l, "")
	if want := (addresses{objects: "s3://flag/clips", catalogue: "postgres://k@configured/klarsyn"}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = addresses{objects: "s3://flag/clips"}.configured(layout{t.TempDir()}, "")
	if want := (addresses{objects: "s3://flag/clips"}); err != nil || a != want {
		t.Errorf("without a configuration: %+v, %v", a, err)
	}
	if _, err := (addresses{}).configured(l, filepath.Join(l.root, "nowhere.yaml")); err == nil {
		t.Error("a configuration that is named and missing was passed over")
	}
}
