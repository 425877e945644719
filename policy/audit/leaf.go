package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/policy/audit/leaf"
)

// encode writes an entry as its leaf: one line of JSON, fields in the order of the type, map keys
// sorted, nothing escaped for HTML.
func encode(e policy.Entry) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if _, err := ulid.ParseStrict(e.ID); err != nil {
		return nil, fmt.Errorf("entry id %q: %w", e.ID, err)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return nil, fmt.Errorf("entry %s: %w", e.ID, err)
	}
	if b.Len() > leaf.Max {
		return nil, fmt.Errorf("entry %s has %d bytes: at most %d are logged", e.ID, b.Len(), leaf.Max)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode reads a leaf; with an error comes no part of it.
func decode(entry []byte) (policy.Entry, error) {
	if len(entry) > leaf.Max {
		return policy.Entry{}, fmt.Errorf("leaf has %d bytes: at most %d are logged", len(entry), leaf.Max)
	}
	var e policy.Entry
	if err := json.Unmarshal(entry, &e); err != nil { // which refuses anything behind the one value
		return policy.Entry{}, fmt.Errorf("leaf is not an entry: %w", err)
	}
	return e, nil
}

func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }
