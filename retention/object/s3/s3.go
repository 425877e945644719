// Package s3 keeps objects on a server that speaks S3: MinIO, versitygw, Ceph, AWS. Versioned or not,
// with object lock or without, an object is written once and its removal leaves no version, no marker and
// no unfinished upload. What a server cannot keep of that, Probe finds before anything is recorded.
package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"klarsyn/retention/object"
)

// Config says where objects lie and who asks for them.
type Config struct {
	Endpoint string // HOST or HOST:PORT
	Bucket   string
	// Region is what requests are signed for (default us-east-1, which MinIO and versitygw take).
	Region string
	// Plain speaks HTTP without TLS: anybody on the way sees sizes and times, though never footage.
	Plain bool
	// CA is a file of certificates (PEM) that alone are trusted; empty: those of the system.
	CA string
	// Credentials is a file in the form of AWS's shared credentials; empty: the environment
	// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), else the file that AWS's tools use.
	Credentials string
	// Tries is how often a request is made before its error is told (default 3).
	Tries int
	// Silence is how long a server may say nothing before the connection is given up (default 20 s).
	Silence time.Duration
}

// Store is object.Store over one bucket.
type Store struct {
	core   minio.Core
	bucket string
	name   string // of the store in errors: endpoint and bucket
	close  func()
	// transport is for the one question that needs no signature.
	transport *http.Transport
	proofs    atomic.Int32 // the rights that were probed
	locks     atomic.Int32 // what is known of the bucket's object lock
}

var _ object.Store = (*Store)(nil)

// Open makes a Store; it sends nothing. Probe asks whether the bucket is there and can be trusted.
func Open(cfg Config) (*Store, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Tries == 0 {
		cfg.Tries = 3
	}
	if cfg.Silence == 0 {
		cfg.Silence = 20 * time.Second
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	creds, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(cfg.Endpoint, &minio.Options{
		Creds: creds, Secure: !cfg.Plain, Transport: transport, Region: cfg.Region,
		// Path style: a private server's certificate seldom covers a host name for each bucket.
		BucketLookup: minio.BucketLookupPath, MaxRetries: cfg.Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", cfg.Endpoint, err)
	}
	return &Store{core: *core, bucket: cfg.Bucket, name: cfg.Endpoint + "/" + cfg.Bucket, close: transport.CloseIdleConnections, transport: transport}, nil
}

// Close lets go of idle connections.
func (s *Store) Close() { s.close() }

// transport bounds every wait: for a connection, for TLS, for an answer, and for each further byte.
func (cfg Config) transport() (*http.Transport, error) {
	dialer := net.Dialer{Timeout: min(5*time.Second, cfg.Silence)}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return silenceLimit{conn, cfg.Silence}, nil
		},
		TLSHandshakeTimeout:   cfg.Silence,
		ResponseHeaderTimeout: cfg.Silence,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true, // sealed bytes do not compress, and ranges are of what is stored
	}
	if cfg.CA == "" {
		return t, nil
	}
	pem, err := os.ReadFile(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("object store %s: certificates that it is trusted by: %w", cfg.Endpoint, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("object store %s: %s holds no certificate: want PEM", cfg.Endpoint, cfg.CA)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t, nil
}

// silenceLimit gives up a connection on which nothing moves: a server that hangs in the middle of a body
// answers no deadline of its own.
type silenceLimit struct {
	net.Conn
	limit time.Duration
}

func (c silenceLimit) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c silenceLimit) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// credentials finds the access key now, so that a missing one is told at start and not at the first clip.
func (cfg Config) credentials() (*credentials.Credentials, error) {
	var creds *credentials.Credentials
	where := "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or credentials=FILE in the address"
	if cfg.Credentials != "" {
		if _, err := os.Stat(cfg.Credentials); err != nil {
			return nil, fmt.Errorf("object store %s: credentials: %w", cfg.Endpoint, err)
		}
		creds = credentials.NewFileAWSCredentials(cfg.Credentials, "")
		where = "aws_access_key_id and aws_secret_access_key under [default] in " + cfg.Credentials
	} else {
		creds = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	}
	value, err := creds.GetWithContext(nil)
	if err != nil || value.AccessKeyID == "" || value.SecretAccessKey == "" {
		// Not the cause's text: it may quote the file.
		return nil, fmt.Errorf("object store %s: no access key was found: want %s", cfg.Endpoint, where)
	}
	return creds, nil
}

// fault says what failed in words that callers tell apart.
func (s *Store) fault(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("object store %s: %s", s.name, doing)
	if key != "" {
		what += " " + key
	}
	answer := minio.ToErrorResponse(err)
	if strings.Contains(answer.Message, "WORM protected") { // MinIO's word, under a code that says nothing, for a version with a legal hold
		return fmt.Errorf("%s: %w: its legal hold is set", what, object.ErrDenied)
	}
	switch answer.Code {
	case minio.NoSuchKey, minio.NoSuchVersion, minio.NoSuchUpload:
		return fmt.Errorf("%s: %w", what, object.ErrNotFound)
	case minio.AccessDenied:
		return fmt.Errorf("%s: %w (%s)", what, object.ErrDenied, strings.TrimSpace(answer.Message))
	case minio.NoSuchBucket:
		return fmt.Errorf("%s: the bucket does not exist; make it, or correct its name", what)
	case minio.InvalidAccessKeyID, "SignatureDoesNotMatch":
		return fmt.Errorf("%s: the server does not know the access key or its secret: correct the credentials", what)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("%s: the clocks of server and client are more than 15 minutes apart: correct the one that is wrong", what)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%s: the server speaks no TLS: mend that, or write tls=false into its address where nobody else can listen", what)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%s: its certificate is signed by nobody who is trusted: name the authority's certificate with ca=FILE (%w)", what, err)
	}
	if answer.StatusCode == 0 || answer.StatusCode >= 500 {
		return fmt.Errorf("%s: %w: %w", what, object.ErrUnreachable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
