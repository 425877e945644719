package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request is what somebody asks to look at, and why.
type Request struct {
	Action Action
	Camera string
	Clip   string
	Permit Permit // under which the clip was recorded
	// Purpose, Case and Reason are what the asker states. Reason is free text and may be empty.
	Purpose string
	Case    string
	Reason  string
}

// ErrBadCase says that a case number is not well-formed.
var ErrBadCase = errors.New(`not a case number: want 1 to 64 printable characters, for example "0105-K12345-26"`)

const (
	maxCase   = 64
	maxReason = 500
)

// ValidCase checks the form of a case number: authorities number their cases in many ways, so it only
// has to be short, printable, without blanks at its ends, and to hold a letter or digit.
func ValidCase(s string) error {
	if !printable(s, maxCase) || strings.TrimSpace(s) != s || !strings.ContainsFunc(s, wordRune) {
		return ErrBadCase
	}
	return nil
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func printable(s string, limit int) bool {
	if len(s) > utf8.UTFMax*limit || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clipped is what of a stated text is fit for the log when it was refused: evidence of the attempt,
// without letting the asker write what he likes there.
func clipped(s string) string {
	if printable(s, maxCase) {
		return s
	}
	return quoted(s, maxCase)
}

// bounded is what of a text from outside is fit for a field of that many characters.
func bounded(s string, limit int) string {
	if printable(s, limit) {
		return s
	}
	q := quoted(s, limit) // only ASCII, but longer than what it quotes
	return q[:min(len(q), limit)]
}

func quoted(s string, limit int) string {
	runes := []rune(strings.ToValidUTF8(s[:min(len(s), utf8.UTFMax*limit)], "?"))
	return fmt.Sprintf("%+q", string(runes[:min(len(runes), limit)]))
}
