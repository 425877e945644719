package absence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Listing reads what aws s3api list-object-versions and list-multipart-uploads print, one document after the other: a bucket
// that was listed with other means than Klarsyn's. It keeps one thing in memory at a time. A listing that says that it was cut
// off is an error: what it does not show is not absent.
func Listing(r io.Reader) iter.Seq2[Trace, error] {
	return func(yield func(Trace, error) bool) {
		decoder := json.NewDecoder(r)
		documents := 0
		for ; ; documents++ {
			more, err := document(decoder, yield)
			if errors.Is(err, io.EOF) && documents > 0 {
				return
			}
			if errors.Is(err, io.EOF) {
				err = errors.New("it is empty: want what aws s3api list-object-versions prints")
			}
			if err != nil {
				yield(Trace{}, fmt.Errorf("the listing cannot be read: %w", err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// listed is a thing in a listing, of whatever kind.
type listed struct {
	Key       string `json:"Key"`
	VersionID string `json:"VersionId"`
	UploadID  string `json:"UploadId"`
	Size      int64  `json:"Size"`
}

var errCut = errors.New("it says that it goes on elsewhere: list the whole bucket")

// document reads one document; false: nobody wants more. io.EOF: there is none.
func document(d *json.Decoder, yield func(Trace, error) bool) (bool, error) {
	start, err := d.Token()
	if err != nil {
		return false, err
	}
	if start != json.Delim('{') {
		return false, errors.New("it is no JSON object: want what aws s3api list-object-versions prints")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false, whole(err)
		}
		switch name {
		case "Versions":
			more, err := things(d, Version, yield)
			if err != nil || !more {
				return false, err
			}
		case "DeleteMarkers":
			more, err := things(d, Marker, yield)
			if err != nil || !more {
				return false, err
			}
		case "Uploads":
			more, err := things(d, Upload, yield)
			if err != nil || !more {
				return false, err
			}
		case "Contents":
			return false, errors.New("it lists objects without their versions and delete markers: want list-object-versions")
		case "IsTruncated", "NextToken":
			var value any
			if err := d.Decode(&value); err != nil {
				return false, whole(err)
			}
			if value != nil && value != false && value != "" {
				return false, errCut
			}
		default:
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return false, whole(err)
			}
		}
	}
	_, err = d.Token()
	return true, whole(err)
}

// things reads a list; false: nobody wants more.
func things(d *json.Decoder, kind string, yield func(Trace, error) bool) (bool, error) {
	start, err := d.Token()
	if err != nil {
		return false, whole(err)
	}
	if start == nil { // null
		return true, nil
	}
	if start != json.Delim('[') {
		return false, errors.New("what should be a list is none")
	}
	for d.More() {
		var one listed
		if err := d.Decode(&one); err != nil {
			return false, whole(err)
		}
		if one.Key == "" {
			return false, fmt.Errorf("a %s has no key", kind)
		}
		t := Trace{Key: one.Key, Kind: kind, Version: one.VersionID, Size: one.Size}
		if kind == Upload {
			t.Version = one.UploadID
		}
		if !yield(t, nil) {
			return false, nil
		}
	}
	_, err = d.Token()
	return true, whole(err)
}

// whole turns the end of a file in the middle of a document into an error.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
