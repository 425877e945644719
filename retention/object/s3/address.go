package s3

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// bucketName is what every server takes as a bucket.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseAddress reads s3://HOST[:PORT]/BUCKET with the options region, ca=FILE, credentials=FILE and
// tls=false. It takes no access key: addresses stand in process lists and logs.
func ParseAddress(address string) (Config, error) {
	u, err := url.Parse(address)
	if err != nil {
		// url.Error quotes the address, which may hold a secret.
		return Config{}, errors.New("object store: not an address: want s3://HOST[:PORT]/BUCKET")
	}
	if u.User != nil {
		return Config{}, errors.New("object store: the address holds an access key: put it into a file and name that with credentials=FILE, or into the environment")
	}
	bucket := strings.Trim(u.Path, "/")
	if u.Scheme != "s3" || u.Host == "" || !bucketName.MatchString(bucket) {
		return Config{}, fmt.Errorf("object store %q: want s3://HOST[:PORT]/BUCKET", u.Redacted())
	}
	cfg := Config{Endpoint: u.Host, Bucket: bucket}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, fmt.Errorf("object store %s/%s: options: want NAME=VALUE, joined by '&'", u.Host, bucket)
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "region":
			cfg.Region = value
		case "ca":
			cfg.CA = value
		case "credentials":
			cfg.Credentials = value
		case "tls":
			if value != "true" && value != "false" {
				return Config{}, fmt.Errorf("object store %s/%s: tls=%s: want true or false", u.Host, bucket, value)
			}
			cfg.Plain = value == "false"
		default:
			return Config{}, fmt.Errorf("object store %s/%s: unknown option %q: want region, ca, credentials or tls", u.Host, bucket, name)
		}
	}
	if cfg.Plain && cfg.CA != "" {
		return Config{}, fmt.Errorf("object store %s/%s: tls=false and ca=%s contradict each other: leave one out", u.Host, bucket, cfg.CA)
	}
	return cfg, nil
}
