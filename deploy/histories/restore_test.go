package histories

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"klarsyn/deploy/world"
)

// build builds the command that makes backups and puts them back.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "klarsyn")
	cmd := exec.Command("go", "build", "-o", path, "klarsyn/cmd/klarsyn")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building klarsyn: %v\n%s", err, out)
	}
	return path
}

// square is what the command is told of the world's cameras: nothing that matters to rows and keys.
const square = `node: n1
cameras: []
permits: []
`

func (h *history) run(rt *rapid.T, args ...string) {
	config := filepath.Join(h.made.Folder, "square.yaml")
	if err := os.WriteFile(config, []byte(square), 0o600); err != nil {
		rt.Fatal(err)
	}
	args = append(args, "--data", h.made.Folder, "--trust-clock")
	if h.pair.Store != nil {
		args = append(args, "--catalogue", h.withPassfile(rt, h.made.Catalogue), "--keys", h.withPassfile(rt, h.made.Keys), "--objects", h.made.Objects)
	}
	if out, err := exec.CommandContext(h.ctx, h.command, args...).CombinedOutput(); err != nil {
		rt.Fatalf("klarsyn %v: %v\n%s", args, err, out)
	}
}

// withPassfile is a database's address with its password in a file, as commands want it.
func (h *history) withPassfile(rt *rapid.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		rt.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(h.folder, "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:"+u.User.Username()+":"+password+"\n"), 0o600); err != nil {
		rt.Fatal(err)
	}
	q := u.Query()
	q.Set("passfile", file)
	u.User, u.RawQuery = url.User(u.User.Username()), q.Encode()
	return u.String()
}

// backUp copies rows and keys while the world goes on.
func (h *history) backUp(rt *rapid.T) {
	folder := filepath.Join(h.folder, strconv.Itoa(len(h.backups)))
	h.run(rt, "backup", "-o", filepath.Join(folder, "rows"), "--keys-to", filepath.Join(folder, "keys"))
	h.backups = append(h.backups, folder)
}

// restore puts a backup back beside newer objects and a newer log.
func (h *history) restore(rt *rapid.T) {
	if len(h.backups) == 0 {
		rt.Skip("there is no backup yet")
	}
	folder := rapid.SampledFrom(h.backups).Draw(rt, "backup")
	if err := h.world.Tell(world.Word{Restored: true}); err != nil {
		rt.Fatal(err)
	}
	w := h.world
	h.world = nil
	if err := w.Close(); err != nil {
		rt.Fatal(err)
	}
	h.run(rt, "restore", "--from", filepath.Join(folder, "rows"), "--keys-from", filepath.Join(folder, "keys"), "--replace", "--reap")
	if err := h.open(); err != nil {
		rt.Fatal(err)
	}
	h.known(rt)
}
