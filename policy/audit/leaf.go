package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy"
)

// maxLeaf bounds an entry, so that nobody who is logged can fill the disk with one line.
const maxLeaf = 16 << 10

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
	if b.Len() > maxLeaf {
		return nil, fmt.Errorf("entry %s has %d bytes: at most %d are logged", e.ID, b.Len(), maxLeaf)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func decode(leaf []byte) (policy.Entry, error) {
	var e policy.Entry
	if len(leaf) > maxLeaf {
		return e, fmt.Errorf("leaf has %d bytes: at most %d are logged", len(leaf), maxLeaf)
	}
	decoder := json.NewDecoder(bytes.NewReader(leaf))
	if err := decoder.Decode(&e); err != nil {
		return e, fmt.Errorf("leaf is not an entry: %w", err)
	}
	if decoder.More() {
		return e, errors.New("leaf holds more than one entry")
	}
	return e, nil
}

// recordOf is what the tree hashes: the leaf as it was committed, a line feed, and the sequencing time
// in microseconds, so that the order in time is as tamper-evident as the entries.
func recordOf(leaf []byte, sequenced time.Time) []byte {
	record := make([]byte, 0, len(leaf)+20)
	record = append(append(record, leaf...), '\n')
	return strconv.AppendInt(record, sequenced.UnixMicro(), 10)
}

func hashOf(leaf []byte, sequenced time.Time) tlog.Hash {
	return tlog.RecordHash(recordOf(leaf, sequenced))
}

func micros(n int64) time.Time { return time.UnixMicro(n).UTC() }
