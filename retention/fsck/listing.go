package fsck

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"klarsyn/retention/object"
)

// digest stands for a key or an id where there are many of them: sixteen bytes that point nowhere.
type digest [16]byte

func digestOf(s string) digest {
	sum := sha256.Sum256([]byte(s))
	return digest(sum[:16])
}

// traced is what a listing says of a key.
type traced struct {
	size     int64 // of its version
	oldest   int64 // when its oldest trace was made, in microseconds
	versions uint16
	others   uint16 // markers and uploads
	owned    bool   // a clip's row names it
}

// listing is the whole store, as it was listed. A store may hold millions of keys, and lists them in no order.
type listing map[digest]traced

func (c Check) list(ctx context.Context) (listing, error) {
	l := listing{}
	n := 0
	for t, err := range c.Store.Traces(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("fsck: %w", err)
		}
		if ours(t) {
			continue
		}
		d := digestOf(t.Key)
		at, was := l[d], t.Modified.UnixMicro()
		if at == (traced{}) || was < at.oldest {
			at.oldest = was
		}
		if t.Kind == object.Version {
			at.size = t.Size
			at.versions += uint16(min(1, 0xffff-int(at.versions)))
		} else {
			at.others += uint16(min(1, 0xffff-int(at.others)))
		}
		l[d] = at
		if n++; n%progressEvery == 0 {
			c.Progress("objects listed", n)
		}
	}
	return l, nil
}

// ours says that it is a mark of the installation: a few bytes under a name of their own, of which no clip knows.
func ours(t object.Trace) bool {
	return strings.HasPrefix(t.Key, object.EpochPrefix) && t.Kind == object.Version && t.Size <= 64
}

func (t traced) madeBefore(limit time.Time) bool { return t.oldest < limit.UnixMicro() }

// apart is how many keys are looked at one by one: for more of them the store is listed once more.
const apart = 32

// again lists what the store holds of some keys now.
func (c Check) again(ctx context.Context, keys []string) (map[string][]object.Trace, error) {
	wanted := make(map[string][]object.Trace, len(keys))
	for _, key := range keys {
		wanted[key] = nil
	}
	prefixes := keys
	if len(keys) > apart {
		prefixes = []string{""}
	}
	for _, prefix := range prefixes {
		for t, err := range c.Store.Traces(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			if _, ok := wanted[t.Key]; ok && (prefix == "" || prefix == t.Key) {
				wanted[t.Key] = append(wanted[t.Key], t)
			}
		}
	}
	return wanted, nil
}

func count(ts []object.Trace, kind object.Kind) int {
	n := 0
	for _, t := range ts {
		if t.Kind == kind {
			n++
		}
	}
	return n
}
