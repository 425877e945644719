// Package camera holds the words for what a fixed camera delivers — access units, zones, samples, the
// causes of a gap — and the Worker that runs one camera under its permit. It imports nothing of
// Klarsyn; the folders below it hold one technology each.
package camera

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
)

// ID names a camera: a slug such as "k1" or "plattan-vast".
type ID string

var slug = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// IsSlug reports whether s can name a camera, a zone or a group of cameras.
func IsSlug(s string) bool { return slug.MatchString(s) }

// ErrBadID says that a name is not a slug.
var ErrBadID = errors.New("not a slug: want 1 to 63 of a-z, 0-9 and '-', not starting with '-'")

// ParseID checks that s is a slug.
func ParseID(s string) (ID, error) {
	if !slug.MatchString(s) {
		return "", fmt.Errorf("camera id %q: %w", s, ErrBadID)
	}
	return ID(s), nil
}

// Secret is a camera password. Every way of printing it shows that it exists and no more.
type Secret string

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// Format keeps every verb of fmt from printing the secret: a verb that does not fit a string, such as
// %d, would else print it in its complaint.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) } //nolint:errcheck // fmt keeps no errors

// LogValue keeps slog from printing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON and YAML encoders from printing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the secret as it stands in a configuration.
func (s *Secret) UnmarshalText(b []byte) error { *s = Secret(b); return nil }

// Camera is one fixed camera: where it is reached and what of its picture counts.
type Camera struct {
	ID   ID
	Name string
	// URL is rtsp:// or rtsps://, without credentials: those are Username and Password.
	URL      string
	Username string
	Password Secret
	// Transport is how pictures come: TCP unless it says UDP.
	Transport Transport
	// CA are the certificates (PEM) of the authorities that alone may vouch for a camera at rtsps://; without any
	// those of the system may.
	CA []byte
	// CertificateSHA256, in hexadecimal, is the one certificate that the camera may show, whoever signed it.
	CertificateSHA256 string
	Profile           Profile
	Counting          Counting
}

// Counting is how much of a camera's video is decoded for counting. The zero value is keyframes alone, fewer of them when
// nothing moves.
type Counting struct {
	// Every is which pictures are counted: 0 keyframes alone, else every n'th.
	Every int
	// Ungated has every one of them looked at, also when the sizes of pictures tell that nothing moves.
	Ungated bool
}

// Transport is how a camera's pictures come.
type Transport string

// The transports. UDP loses what the network loses: use it for cameras that know nothing else.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
)

// Validate says which field is wrong and what it should be.
func (c Camera) Validate() error {
	if _, err := ParseID(string(c.ID)); err != nil {
		return err
	}
	scheme, err := checkAddress(c.URL)
	if err != nil {
		return fmt.Errorf("camera %s: %w", c.ID, err)
	}
	if err := c.validateTransport(scheme); err != nil {
		return fmt.Errorf("camera %s: %w", c.ID, err)
	}
	if err := c.Profile.Validate(); err != nil {
		return fmt.Errorf("camera %s: %w", c.ID, err)
	}
	return nil
}

func (c Camera) validateTransport(scheme string) error {
	secure := scheme == "rtsps"
	switch {
	case c.Transport != "" && c.Transport != TCP && c.Transport != UDP:
		return fmt.Errorf("transport %q: want tcp or udp", c.Transport)
	case c.Transport == UDP && secure:
		return errors.New("transport udp with an rtsps:// url: only tcp keeps the pictures secret on their way")
	case !secure && (len(c.CA) > 0 || c.CertificateSHA256 != ""):
		return errors.New("a certificate is expected of a camera whose url is rtsp://: make it rtsps://, or leave ca_file and certificate_sha256 out")
	case len(c.CA) > 0 && c.CertificateSHA256 != "":
		return errors.New("ca_file and certificate_sha256 contradict each other: leave one out")
	case c.CertificateSHA256 != "":
		if b, err := hex.DecodeString(c.CertificateSHA256); err != nil || len(b) != sha256.Size {
			return errors.New("certificate_sha256: want 64 hexadecimal digits, as openssl x509 -fingerprint -sha256 tells them, without colons")
		}
	case len(c.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CA):
		return errors.New("ca_file holds no certificate: want PEM")
	}
	return nil
}
