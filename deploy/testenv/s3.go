package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 is a running S3 server and its administrator's access key.
type S3 struct {
	*Server
	Access, Secret string
	// CA is the file of the authority that signed the server's certificate; empty without TLS.
	CA string
	// Folder is where the server keeps what it is given.
	Folder string
	tls    *tls.Config
}

// S3Option changes how a server is started.
type S3Option func(*s3Options)

type s3Options struct {
	tls      bool
	folder   string
	versions bool
}

// WithTLS gives the server a certificate of an authority of its own.
func WithTLS(o *s3Options) { o.tls = true }

// In keeps the server's data in a folder, such as on a small disk.
func In(folder string) S3Option { return func(o *s3Options) { o.folder = folder } }

// WithVersions lets versitygw's buckets have versions; MinIO's always may.
func WithVersions(o *s3Options) { o.versions = true }

// MinIO starts a MinIO server.
func MinIO(t testing.TB, options ...S3Option) *S3 {
	t.Helper()
	s, o := newS3(t, options)
	args := []string{"server", "--address", s.Address, s.Folder}
	if o.tls {
		certs := s.certify(t, "public.crt", "private.key")
		args = append([]string{"--certs-dir", certs}, args...)
	}
	s.serve(t, Installed(t, "minio"), args, "MINIO_ROOT_USER="+s.Access, "MINIO_ROOT_PASSWORD="+s.Secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	return s
}

// Versitygw starts a versitygw server over a directory.
func Versitygw(t testing.TB, options ...S3Option) *S3 {
	t.Helper()
	s, o := newS3(t, options)
	args := []string{"--port", s.Address, "--quiet"}
	if o.tls {
		certs := s.certify(t, "public.crt", "private.key")
		args = append(args, "--cert", filepath.Join(certs, "public.crt"), "--key", filepath.Join(certs, "private.key"))
	}
	args = append(args, "posix")
	if o.versions {
		args = append(args, "--versioning-dir", t.TempDir())
	}
	s.serve(t, Installed(t, "versitygw"), append(args, s.Folder), "ROOT_ACCESS_KEY="+s.Access, "ROOT_SECRET_KEY="+s.Secret)
	return s
}

func newS3(t testing.TB, options []S3Option) (*S3, s3Options) {
	t.Helper()
	var o s3Options
	for _, set := range options {
		set(&o)
	}
	if o.folder == "" {
		o.folder = t.TempDir()
	}
	return &S3{Access: "administrator", Secret: rand.Text(), Folder: o.folder, Server: &Server{Address: Address(t)}}, o
}

func (s *S3) serve(t testing.TB, path string, args []string, env ...string) {
	t.Helper()
	admin := s.Admin(t)
	s.Server = serveAt(t, s.Address, path, args, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := admin.ListBuckets(ctx)
		return err
	}, Env(env...))
}

// Admin is a client with all rights.
func (s *S3) Admin(t testing.TB) *minio.Core {
	t.Helper()
	o := &minio.Options{Creds: credentials.NewStaticV4(s.Access, s.Secret, ""), Secure: s.tls != nil, Region: "us-east-1", MaxRetries: 1}
	if s.tls != nil {
		transport, err := minio.DefaultTransport(true)
		if err != nil {
			t.Fatal(err)
		}
		transport.TLSClientConfig = s.tls
		o.Transport = transport
	}
	c, err := minio.NewCore(s.Address, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TLS trusts the authority that signed the server's certificate.
func (s *S3) TLS() *tls.Config { return s.tls.Clone() }

// Credentials writes an access key into a file as AWS's tools read it, and returns the file's path.
func Credentials(t testing.TB, access, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certify makes an authority and a certificate for this machine, in a folder of the server's.
func (s *S3) certify(t testing.TB, certName, keyName string) string {
	t.Helper()
	folder := t.TempDir()
	s.CA = Certify(t, filepath.Join(folder, certName), filepath.Join(folder, keyName))
	pool := x509.NewCertPool()
	b, err := os.ReadFile(s.CA)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatalf("the authority's certificate: %v", err)
	}
	s.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return folder
}

// Certify makes a certificate and its key for 127.0.0.1, signed by an authority whose certificate's file it
// returns.
func Certify(t testing.TB, certFile, keyFile string) (ca string) {
	t.Helper()
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Klarsyn test authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, leafKey := newKey(t), newKey(t)
	ca = filepath.Join(t.TempDir(), "ca.crt")
	writePEM(t, ca, "CERTIFICATE", sign(t, authority, authority, authorityKey, authorityKey))
	writePEM(t, certFile, "CERTIFICATE", sign(t, leaf, authority, leafKey, authorityKey))
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, keyFile, "PRIVATE KEY", der)
	return ca
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, of, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, of, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
