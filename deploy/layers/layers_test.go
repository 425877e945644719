// Package layers holds the tests of the project's shape: which package may know which.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	CgoFiles   []string
	Dir        string
	Standard   bool
}

const module = "klarsyn"

// arrows says what each package may import of ours, besides nothing. A name ending in /... covers
// everything below it. What is not listed may import only the roots of its own kind: see allowed.
var arrows = map[string][]string{
	"camera": nil,
	"policy": nil,

	// Who checks the log shares its format with who writes it, and nothing else.
	"policy/audit":           {"policy", "policy/audit/durable", "policy/audit/leaf", "policy/audit/replay", "policy/audit/verify"},
	"policy/audit/leaf":      nil,
	"policy/audit/verify":    {"policy/audit/leaf", "policy/audit/replay"},
	"policy/audit/replay":    {"policy/audit/leaf"},
	"policy/audit/absence":   {"policy/audit/leaf", "policy/audit/replay"},
	"policy/audit/witness":   {"policy/audit/durable", "policy/audit/leaf", "policy/audit/verify"},
	"policy/audit/durable":   nil,
	"policy/audit/audittest": {"policy/audit/leaf", "policy/audit/verify"},

	"retention":                       {"camera", "policy", "retention/crashpoint"},
	"retention/crashpoint":            nil,
	"retention/object/dir":            {"retention/object", "retention/crashpoint"},
	"retention/object/objecttest":     {"retention/object"},
	"retention/object/s3":             {"retention/object", "retention/crashpoint"},
	"retention/catalogue":             {"camera", "policy", "retention", "retention/database", "retention/crashpoint"},
	"retention/database":              nil,
	"retention/database/databasetest": {"policy", "retention/database", "deploy/testenv"},
	"retention/vault":                 {"camera", "policy", "retention", "retention/object", "retention/crashpoint"},
	// What the log says, in the words of the checker that holds rows against it.
	"retention/fsck/story": {"retention", "retention/fsck", "policy/audit/replay"},
	"retention/fsck":       {"camera", "policy", "retention", "retention/object", "retention/timeline"},

	"camera/rtsp/sim":    {"camera", "camera/coded"},
	"camera/vision":      {"camera", "camera/vision/wire"},
	"camera/vision/wire": {"camera"},

	"api": {"camera", "policy", "retention"},

	// Commands wire.
	"cmd/klarsyn":        {"api/...", "camera", "camera/coded", "camera/occupancy", "camera/rtsp/...", "camera/scene", "camera/segment", "camera/vision", "policy/...", "retention/..."},
	"cmd/klarsyn-vision": {"camera", "camera/coded", "camera/count", "camera/decode", "camera/encode", "camera/scene", "camera/vision/sandbox", "camera/vision/wire"},

	"deploy/testenv": {"..."},
	// Whole installations in the hands of a test, wired as the commands wire them.
	"deploy/crash":           {"camera", "policy", "retention", "retention/object", "retention/vault", "deploy/world/..."},
	"deploy/world":           {"camera/...", "policy/...", "retention/..."},
	"deploy/world/worldtest": {"deploy/world", "deploy/testenv"},
	"deploy/histories":       {"camera", "retention", "retention/database", "retention/object", "deploy/world/...", "deploy/testenv"},
}

// allowed is arrows, or for a package that is not listed: a folder below a root may import that root,
// and below retention also camera and policy, which that root imports.
func allowed(from string) []string {
	if rule, ok := arrows[from]; ok {
		return rule
	}
	root, _, _ := strings.Cut(from, "/")
	switch root {
	case "retention":
		return []string{"camera", "policy", "retention", "retention/crashpoint"}
	default:
		return []string{root}
	}
}

func covers(rule, target string) bool {
	if prefix, ok := strings.CutSuffix(rule, "..."); ok {
		return prefix == "" || target == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(target, prefix)
	}
	return rule == target
}

func list(t *testing.T, env []string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every arrow between our packages is one that the table allows.
func TestArrows(t *testing.T) {
	pkgs := list(t, []string{"CGO_ENABLED=1"}, "./...")
	if len(pkgs) < 15 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	for _, p := range pkgs {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if !slices.ContainsFunc(allowed(from), func(rule string) bool { return covers(rule, target) }) {
				t.Errorf("%s imports %s: not an arrow of the design; define an interface where it is consumed, and let cmd wire it", from, target)
			}
		}
	}
}

// klarsyn is memory-safe Go: nothing that it links needs C.
func TestKlarsynIsPureGo(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "-deps", "./cmd/klarsyn") {
		if !p.Standard && len(p.CgoFiles) > 0 {
			t.Errorf("klarsyn links %s, which is cgo", p.ImportPath)
		}
	}
}

// Only the sandboxed child touches FFmpeg and OpenCV.
func TestDecodersStayInTheChild(t *testing.T) {
	may := []string{"camera/decode", "camera/encode", "camera/count"}
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			if (strings.HasPrefix(imported, "gocv.io/") || strings.HasPrefix(imported, "github.com/asticode/go-astiav")) && !slices.Contains(may, from) {
				t.Errorf("%s imports %s: decoding belongs to %s", from, imported, strings.Join(may, ", "))
			}
		}
	}
}

// Packages are named by what they own, and do nothing before main.
func TestHabits(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./...") {
		name := filepath.Base(p.ImportPath)
		if slices.Contains([]string{"util", "utils", "common", "helpers", "manager", "misc"}, name) {
			t.Errorf("package %s: name it by what it owns", p.ImportPath)
		}
		for _, f := range slices.Concat(p.GoFiles, p.CgoFiles) {
			b, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "\nfunc init()") {
				t.Errorf("%s/%s has an init function: do it where somebody calls", p.ImportPath, f)
			}
		}
	}
}

// The owner fixed the top level.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	may := []string{"cmd", "camera", "retention", "policy", "api", "deploy", "go.mod", "go.sum", "README.md", "LICENSE", "Makefile"}
	for _, e := range entries {
		if e.Name() == "bin" || strings.HasPrefix(e.Name(), ".") { // built, or a dotfile
			continue
		}
		if !slices.Contains(may, e.Name()) {
			t.Errorf("%s: the top level is %s", e.Name(), strings.Join(may, ", "))
		}
	}
}
