// Package leaf is the format of the log's leaves: what the tree hashes, how leaves are bundled, and the
// names of the files of a tiled log (C2SP tlog-tiles). Who writes the log and who checks it without
// trusting the writer share this page and nothing else.
package leaf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Max bounds an entry, so that nobody who is logged can fill the disk with one line, and so that a record
// fits the 16 bits that a bundle has for its length.
const Max = 16 << 10

// Leaf is what a checker must know of an entry; the rest of it is the business of whoever reads the log.
type Leaf struct {
	ID        string
	Time      time.Time
	Event     string
	Actor     string
	Sequenced time.Time // when it got its number; never decreases along the log
	Entry     []byte    // the line of JSON, as it was committed
}

// Record is what the tree hashes: the entry as it was committed, a line feed, and the sequencing time in
// microseconds, so that the order in time is as tamper-evident as the entries.
func Record(entry []byte, sequenced time.Time) []byte {
	record := make([]byte, 0, len(entry)+20)
	record = append(append(record, entry...), '\n')
	return strconv.AppendInt(record, sequenced.UnixMicro(), 10)
}

// Hash is a record's hash in the tree (RFC 6962).
func Hash(entry []byte, sequenced time.Time) tlog.Hash {
	return tlog.RecordHash(Record(entry, sequenced))
}

// Parse reads a record. Its error says what is wrong, without quoting the entry.
func Parse(record []byte) (Leaf, error) {
	cut := bytes.LastIndexByte(record, '\n')
	if cut < 0 {
		return Leaf{}, errors.New("no sequencing time follows the entry")
	}
	us, err := strconv.ParseInt(string(record[cut+1:]), 10, 64)
	if err != nil || strconv.FormatInt(us, 10) != string(record[cut+1:]) {
		return Leaf{}, errors.New("its sequencing time is no number of microseconds")
	}
	l, err := parseEntry(record[:cut])
	l.Sequenced = time.UnixMicro(us).UTC()
	return l, err
}

func parseEntry(entry []byte) (Leaf, error) {
	if len(entry) > Max {
		return Leaf{}, fmt.Errorf("the entry has %d bytes: at most %d are logged", len(entry), Max)
	}
	var e struct {
		ID    string    `json:"id"`
		Time  time.Time `json:"time"`
		Event string    `json:"event"`
		Actor string    `json:"actor"`
	}
	// Unmarshal refuses anything behind the one value.
	if err := json.Unmarshal(entry, &e); err != nil {
		return Leaf{}, fmt.Errorf("the entry is not one line of JSON: %w", err)
	}
	if e.ID == "" || e.Time.IsZero() || e.Event == "" || e.Actor == "" {
		return Leaf{}, errors.New("the entry lacks its id, time, event or actor")
	}
	return Leaf{ID: e.ID, Time: e.Time, Event: e.Event, Actor: e.Actor, Entry: entry}, nil
}

// Details are what the entry says beside its fields. Few events are of interest to a checker, so that they are read
// only when they are asked for.
func (l Leaf) Details() map[string]string {
	var e struct {
		Details map[string]string `json:"details"`
	}
	if json.Unmarshal(l.Entry, &e) != nil {
		return nil
	}
	return e.Details
}
