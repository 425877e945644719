package wire

import (
	"crypto/sha256"
	_ "embed" // the sources that stand for the protocol
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrBuild says that the two programs do not belong together.
var ErrBuild = errors.New("klarsyn and klarsyn-vision are of different builds: install both from the same release")

var (
	//go:embed wire.go
	wireSource []byte
	//go:embed messages.go
	messagesSource []byte
	//go:embed answer.go
	answerSource []byte
	//go:embed hello.go
	helloSource []byte
)

// Build tells one build from another.
type Build struct {
	// Protocol is a hash of the sources of this package as they were compiled in.
	Protocol string `json:"protocol"`
	// Revision is the commit of the program; empty when the build did not record it (go test does not).
	Revision string `json:"revision,omitempty"`
}

// ThisBuild is the build of the running program.
func ThisBuild() Build {
	h := sha256.New()
	for _, source := range [][]byte{wireSource, messagesSource, answerSource, helloSource} {
		h.Write(source)
	}
	b := Build{Protocol: hex.EncodeToString(h.Sum(nil)[:8])}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

func (b Build) String() string {
	if b.Revision == "" {
		return "protocol " + b.Protocol
	}
	return "protocol " + b.Protocol + " commit " + b.Revision
}

// Mode is what a child is for.
type Mode string

// The modes of klarsyn-vision.
const (
	ModeCount Mode = "count" // access units in, samples out
	ModeScene Mode = "scene" // a scene's configuration in, encoded frames out
)

// Hello is each side's first message. The child speaks first, after its drop; the parent checks the
// drop from outside before it answers.
type Hello struct {
	Version int   `json:"version"`
	Mode    Mode  `json:"mode"`
	Build   Build `json:"build"`
}

// NewHello is the hello of the running program.
func NewHello(m Mode) Hello { return Hello{Version: Version, Mode: m, Build: ThisBuild()} }

// Check compares the other side's hello with one's own. Commits are compared only when both are known.
func (h Hello) Check(other Hello) error {
	if h.Version != other.Version {
		return fmt.Errorf("%w (protocol version %d here, %d there)", ErrBuild, h.Version, other.Version)
	}
	here, there := h.Build, other.Build
	if here.Protocol != there.Protocol ||
		here.Revision != "" && there.Revision != "" && here.Revision != there.Revision {
		return fmt.Errorf("%w (%s here, %s there)", ErrBuild, here, Sanitise(there.String()))
	}
	if h.Mode != other.Mode {
		return fmt.Errorf("mode %q here, %q there: %w", h.Mode, Sanitise(string(other.Mode)), ErrMalformed)
	}
	return nil
}

func (Hello) kind() byte { return 'H' }
func (Hello) limit() int { return 4 << 10 }

func (m Hello) append(b []byte) ([]byte, error) { return appendJSON(b, m) }

func (Hello) parse(c *cursor) (Message, error) {
	var m Hello
	if err := json.Unmarshal(c.take(len(c.b)), &m); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	return m, nil
}
