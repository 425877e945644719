package audit

import (
	"bytes"
	"encoding/json"
	"errors"
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

func decode(entry []byte) (policy.Entry, error) {
	var e policy.Entry
	if len(entry) > leaf.Max {
		return e, fmt.Errorf("leaf has %d bytes: at most %d are logged", len(entry), leaf.Max)
	}
	decoder := json.NewDecoder(bytes.NewReader(entry))
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("leaf is not an entry: %w", err)
	}
	if decoder.More() {
		return e, errors.New("leaf holds more than one entry")
	}
	return e, nil
}

func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }
