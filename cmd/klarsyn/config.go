package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"klarsyn/camera"
	"klarsyn/policy"
	"klarsyn/policy/audit/verify"
)

// config is the file square.yaml: its fields are the manual. A key that is not here stops start-up. What a process needs of
// its own machine it reads from here when it starts; what holds of the square is put in force by klarsyn apply.
type config struct {
	// Node names this recorder; it must stay the same over restarts. Default: "square".
	Node string `yaml:"node,omitempty"`
	// Clip is how long a clip is before it closes at the next keyframe. Default: 30s.
	Clip string `yaml:"clip,omitempty"`
	// MinFree is how many MiB recording leaves free on the spool's disk, so that deletion can still
	// write. Default: 64.
	MinFree int64 `yaml:"min_free_mib,omitempty"`
	// Capacity is how many GiB the object store holds, where that is a server: recording stops before it is full. Default: 0,
	// nobody knows; then only the server itself stops it.
	Capacity int64 `yaml:"capacity_gib,omitempty"`
	// Objects, Catalogue and Keys say where sealed clips, rows and day keys lie, if not in the data directory:
	// s3://HOST/BUCKET, and two databases postgres://USER@HOST/DATABASE. A process may be given its own address,
	// with its own credentials, by the flag of the same name.
	Objects   string `yaml:"objects,omitempty"`
	Catalogue string `yaml:"catalogue,omitempty"`
	Keys      string `yaml:"keys,omitempty"`
	// Master is the master key that seals day keys and case keys: file (in the data directory), or on a key server
	// hashivault://KEY?server=https://HOST:PORT&token=FILE. Default: file.
	Master string `yaml:"master,omitempty"`
	// MasterBefore is the master key that is being left, until klarsyn keys rotate-master has resealed what lies under it.
	MasterBefore string `yaml:"master_before,omitempty"`
	// Reserve is how many MiB are kept beside that on the catalogue's disk, so that deletion can be logged when it is full
	// to the last byte. Default: 32. On a database server there is no reserve.
	Reserve int64 `yaml:"reserve_mib,omitempty"`
	// LogAlarm is how many entries an hour the audit log may get before retain rings. Default: 50000.
	LogAlarm int64 `yaml:"log_alarm,omitempty"`
	// LogRetention is how long an entry of the audit log is kept, an ISO 8601 duration of at least a year. Default: P5Y.
	LogRetention string `yaml:"log_retention,omitempty"`
	// Witnesses are the public keys of those who watch the log from elsewhere, as klarsyn witness prints them.
	Witnesses []string `yaml:"witnesses,omitempty"`
	// Backup says how long backups of the key store live, and where they lie.
	Backup backupConfig `yaml:"backup,omitempty"`
	// What klarsyn apply takes of the same file, or of another one. A process reads that from the catalogue.
	Declaration `yaml:",inline"`
}

// cameraConfig is one camera.
type cameraConfig struct {
	// ID is a slug such as k1.
	ID string `yaml:"id"`
	// Name is for people.
	Name string `yaml:"name,omitempty"`
	// URL is rtsp://HOST:PORT/PATH, without credentials anywhere in it.
	URL string `yaml:"url"`
	// Username is the camera's login.
	Username string `yaml:"username,omitempty"`
	// PasswordFile holds the camera's password on its first line; a relative path is relative to this file.
	PasswordFile string `yaml:"password_file,omitempty"`
	// Transport is tcp, or udp for cameras that know nothing else: it loses what the network loses. Default: tcp.
	Transport string `yaml:"transport,omitempty"`
	// CAFile holds the certificates (PEM) of the authorities that alone may vouch for a camera at rtsps://; a
	// relative path is relative to this file. Default: those of the system.
	CAFile string `yaml:"ca_file,omitempty"`
	// CertificateSHA256, 64 hexadecimal digits, is the one certificate that the camera at rtsps:// may show.
	CertificateSHA256 string `yaml:"certificate_sha256,omitempty"`
	// Zones are the polygons in which people are counted. A camera without zones is recorded, not counted.
	Zones []camera.Zone `yaml:"zones,omitempty"`
	// Perspective gives a person's height in the picture by the row of the feet.
	Perspective camera.Perspective `yaml:"perspective,omitempty"`
	// Profile is a file that klarsyn-vision calibrate wrote, instead of a perspective; a relative path is relative to
	// this file. Its zones are not used: those above are.
	Profile string `yaml:"profile,omitempty"`
	// View names what the camera is set to show. Where a permit forbids turning it and its picture moved, nothing is recorded
	// until another one is applied: somebody looked.
	View string `yaml:"view,omitempty"`
	// Counting is how much is decoded for it.
	Counting countingConfig `yaml:"counting,omitempty"`
}

// countingConfig is how much of a camera's video is decoded to count in it.
type countingConfig struct {
	// Every is keyframe (the default), all, or a number: every n'th picture, which means decoding all.
	Every string `yaml:"every,omitempty"`
	// Gate has keyframes passed over while the sizes of pictures tell that nothing moves. Default: true.
	Gate *bool `yaml:"gate,omitempty"`
}

func (c countingConfig) counting() (camera.Counting, error) {
	out := camera.Counting{Ungated: c.Gate != nil && !*c.Gate}
	switch n, err := strconv.Atoi(c.Every); {
	case c.Every == "" || c.Every == "keyframe":
	case c.Every == "all":
		out.Every = 1
	case err == nil && n >= 1 && n <= 1000:
		out.Every = n
	default:
		return out, fmt.Errorf("counting: every is %q: want keyframe, all, or a number from 1 to 1000", c.Every)
	}
	return out, nil
}

// square is a configuration that was checked.
type square struct {
	node    string
	clip    time.Duration
	minFree uint64
	// capacity is in bytes; 0: nobody knows.
	capacity uint64
	folder   string // of the file: what cameras' files are relative to
	addresses
	reserve      int64 // bytes
	logAlarm     int64
	logRetention policy.Period
	witnesses    []*verify.Witness
	backup       backupSettings
}

// usageError is an error of the person who called the command: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// loadSquare reads and checks a configuration. What is wrong is named with file, line and column.
func loadSquare(path string) (*square, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, usageError{fmt.Errorf("configuration: %w; run this as a user who may read it, or let its group (chmod 0640)", err)}
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: %w; run klarsyn init, or name the file with --config", err)}
	}
	c := config{Node: "square", Clip: "30s", MinFree: 64, Reserve: 32, LogAlarm: 50_000, LogRetention: "P5Y"}
	if _, err := decodeStrict(path, b, &c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	s, err := c.check(filepath.Dir(path))
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration %s: %w", path, err)}
	}
	return s, nil
}

// written is a password where somebody thought that it belonged.
var written = regexp.MustCompile(`(?i)\b(pass[a-z]*|pwd|secret|token)(["']?\s*:\s*)\S.*`)

// redact takes out of a message what must not be shown: it quotes the lines around a fault, and on one of them
// may stand a password, or an address with a login in it.
func redact(message string) string {
	return written.ReplaceAllString(camera.Redact(message), "${1}${2}[redacted]")
}

func (c config) check(folder string) (*square, error) {
	if _, err := camera.ParseID(c.Node); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	clip, err := time.ParseDuration(c.Clip)
	if err != nil || clip < time.Second || clip > 10*time.Minute {
		return nil, fmt.Errorf("clip is %q: want 1s to 10m", c.Clip)
	}
	if c.MinFree < 1 {
		return nil, fmt.Errorf("min_free_mib is %d: want at least 1, so that deletion can still write to a full disk", c.MinFree)
	}
	if c.Capacity < 0 || c.Capacity > 1<<30 {
		return nil, fmt.Errorf("capacity_gib is %d: want how many GiB the object store holds, or 0 if nobody knows", c.Capacity)
	}
	s := &square{node: c.Node, clip: clip, minFree: uint64(c.MinFree) << 20, capacity: uint64(c.Capacity) << 30, folder: folder}
	s.addresses = addresses{objects: c.Objects, catalogue: c.Catalogue, keys: c.Keys, master: c.Master, masterBefore: c.MasterBefore}
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := s.logged(c); err != nil {
		return nil, err
	}
	if s.backup, err = c.Backup.check(folder); err != nil {
		return nil, err
	}
	return s, nil
}

// logged checks what the configuration says of the audit log.
func (s *square) logged(c config) error {
	if c.Reserve < 8 {
		return fmt.Errorf("reserve_mib is %d: want at least 8, in which a day's deletions can be logged", c.Reserve)
	}
	if c.LogAlarm < 1 {
		return fmt.Errorf("log_alarm is %d: want how many entries an hour are too many, such as 50000", c.LogAlarm)
	}
	s.reserve, s.logAlarm = c.Reserve<<20, c.LogAlarm
	var err error
	if s.logRetention, err = policy.ParsePeriod(c.LogRetention); err != nil {
		return fmt.Errorf("log_retention: %w", err)
	}
	if now := time.Now(); s.logRetention.After(now).Before(now.AddDate(1, 0, -1)) {
		return fmt.Errorf("log_retention is %s: the log outlives what it tells of by a year at least; P5Y matches the time in which a fee may be decided", c.LogRetention)
	}
	names := map[string]bool{}
	for i, key := range c.Witnesses {
		w, err := verify.NewWitness(key)
		if err != nil {
			return fmt.Errorf("witnesses: number %d: %w", i+1, err)
		}
		if names[w.Name()] {
			return fmt.Errorf("witnesses: %s stands twice: give each witness its own name", w.Name())
		}
		names[w.Name()] = true
		s.witnesses = append(s.witnesses, w)
	}
	return nil
}

func (cc cameraConfig) camera() (camera.Camera, error) {
	cam := camera.Camera{
		ID: camera.ID(cc.ID), Name: cc.Name, URL: cc.URL, Username: cc.Username,
		Transport: camera.Transport(cc.Transport), CertificateSHA256: cc.CertificateSHA256,
		Profile: camera.Profile{Zones: cc.Zones, Perspective: cc.Perspective},
	}
	if cam.Name == "" {
		cam.Name = cc.ID
	}
	var err error
	if cam.Counting, err = cc.Counting.counting(); err != nil {
		return cam, fmt.Errorf("camera %s: %w", cc.ID, err)
	}
	return cam, cam.Validate()
}

func inFolder(folder, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// connected is the camera with its password, authorities and profile, which are read from files. Whoever connects to no camera
// need not be able to read them.
func (cc cameraConfig) connected(folder string) (camera.Camera, error) {
	cam, err := cc.camera()
	if err != nil {
		return cam, usageError{err}
	}
	if cc.PasswordFile != "" {
		b, err := os.ReadFile(inFolder(folder, cc.PasswordFile))
		if err != nil {
			return cam, usageError{fmt.Errorf("camera %s: password_file: %w", cam.ID, err)}
		}
		line, _, _ := strings.Cut(string(b), "\n")
		cam.Password = camera.Secret(strings.TrimRight(line, "\r"))
	}
	if cc.CAFile != "" {
		if cam.CA, err = os.ReadFile(inFolder(folder, cc.CAFile)); err != nil {
			return cam, usageError{fmt.Errorf("camera %s: ca_file: %w", cam.ID, err)}
		}
	}
	if cc.Profile != "" {
		if err := readProfile(inFolder(folder, cc.Profile), &cam.Profile); err != nil {
			return cam, usageError{fmt.Errorf("camera %s: profile: %w", cam.ID, err)}
		}
	}
	if err := cam.Validate(); err != nil {
		return cam, usageError{err}
	}
	return cam, nil
}

// readProfile reads what calibration found. Zones stay as they are: whoever serves counts knows them, too.
func readProfile(path string, p *camera.Profile) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var read camera.Profile
	if err := yaml.UnmarshalWithOptions(b, &read, yaml.Strict()); err != nil {
		return fmt.Errorf("%s:\n%s", path, yaml.FormatError(err, false, true))
	}
	if err := read.Validate(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	read.Zones = p.Zones
	*p = read
	return nil
}
