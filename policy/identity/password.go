package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Errors of passwords.
var (
	ErrWeakPassword = errors.New("the password must have 12 to 128 characters")
	ErrBusy         = errors.New("too many logins at once: try again in a moment")
)

const (
	minPassword = 12
	maxPassword = 128
)

// Cost is the work of one argon2id hash. The zero value stands for DefaultCost.
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// DefaultCost is the smallest setting that OWASP recommends: 19 MiB, two passes. Slow enough against
// guessing on a stolen table, small enough that eight logins at once do not hurt the recording.
func DefaultCost() Cost { return Cost{Memory: 19 << 10, Time: 2, Threads: 1} }

// The bounds of what a stored hash may ask for: who can write the table shall not be able to make a
// login eat all memory.
const (
	maxMemory  = 256 << 10
	maxTime    = 16
	maxThreads = 8
	saltSize   = 16
	sumSize    = 32
	maxStored  = 256
	atOnce     = 4  // hashes computed at the same time
	maxWaiting = 64 // logins that wait for their turn; more are turned away
)

// CheckPassword holds a new password against the only rule there is: its length. Composition rules make
// passwords worse.
func CheckPassword(password string) error {
	n := utf8.RuneCountInString(password)
	if n < minPassword || n > maxPassword || !utf8.ValidString(password) {
		return ErrWeakPassword
	}
	return nil
}

// alphabet has 32 letters and digits that are not mistaken for each other.
const alphabet = "abcdefghjkmnpqrstvwxyz0123456789"

// NewPassword is a random password of 125 bits in five groups, easy to read out and to type.
func NewPassword() string {
	var random [25]byte
	rand.Read(random[:])
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[r%32])
	}
	return b.String()
}

// hasher computes argon2id with bounded memory: each hash takes what Cost says, and a crowd at the
// login must not take the machine down.
type hasher struct {
	cost    Cost
	turns   chan struct{}
	waiting chan struct{}
}

func newHasher(cost Cost) *hasher {
	return &hasher{cost: cost, turns: make(chan struct{}, atOnce), waiting: make(chan struct{}, maxWaiting)}
}

func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, ErrBusy
	}
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash makes the PHC text of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	var salt [saltSize]byte
	rand.Read(salt[:])
	sum := argon2.IDKey([]byte(password), salt[:], h.cost.Time, h.cost.Memory, h.cost.Threads, sumSize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.Memory, h.cost.Time, h.cost.Threads,
		base64.RawStdEncoding.EncodeToString(salt[:]), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// matches compares a password with a PHC text, in the same time whether it matches or not.
func (h *hasher) matches(ctx context.Context, password, stored string) (bool, error) {
	p, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	sum := argon2.IDKey([]byte(password), p.salt, p.cost.Time, p.cost.Memory, p.cost.Threads, uint32(len(p.sum)))
	return subtle.ConstantTimeCompare(sum, p.sum) == 1, nil
}

type phc struct {
	cost      Cost
	salt, sum []byte
}

var errBadHash = errors.New("the stored password hash cannot be read: set a new password")

func parsePHC(s string) (phc, error) {
	var p phc
	parts := strings.Split(s, "$")
	if len(s) > maxStored || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errBadHash
	}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.cost.Memory, &p.cost.Time, &p.cost.Threads)
	if err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", p.cost.Memory, p.cost.Time, p.cost.Threads) {
		return phc{}, errBadHash
	}
	var saltErr, sumErr error
	p.salt, saltErr = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	p.sum, sumErr = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(p.salt) < 8 || len(p.sum) != sumSize || !p.cost.bounded() {
		return phc{}, errBadHash
	}
	return p, nil
}

func (c Cost) bounded() bool {
	return c.Memory >= 8*uint32(c.Threads) && c.Memory <= maxMemory && c.Time >= 1 && c.Time <= maxTime && c.Threads >= 1 && c.Threads <= maxThreads
}
