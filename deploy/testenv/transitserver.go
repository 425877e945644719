package testenv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// transitServer answers as the transit engine of HashiCorp Vault and OpenBao does to who seals, opens and rotates, with tokens and
// policies and AES-256-GCM: what klarsyn asks, and no more. It keeps everything in memory. Its answers, errors too, are those of
// Vault 1.14.0, against which the same tests run with KLARSYN_TRANSIT: see the README.
type transitServer struct {
	root, unseal string

	mu       sync.Mutex
	sealed   bool
	engines  map[string]map[string]*transitKey // by mount, by name
	policies map[string][]transitRule
	tokens   map[string][]string // their policies
}

// transitKey is a key with all its versions; the first is 1.
type transitKey struct {
	versions                         map[int][]byte
	latest                           int
	minDecrypt, minEncrypt, minThere int
	deletable                        bool
}

type transitRule struct {
	path         string // a trailing * covers all that begins so
	capabilities []string
}

type transitError struct {
	status int
	text   string
}

func (e transitError) Error() string { return e.text }

const denied = "1 error occurred:\n\t* permission denied\n\n"

func newTransitServer() *transitServer {
	return &transitServer{
		root: "hvs." + rand.Text(), unseal: rand.Text(),
		engines: map[string]map[string]*transitKey{}, policies: map[string][]transitRule{}, tokens: map[string][]string{},
	}
}

func (s *transitServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body map[string]any
	if r.ContentLength != 0 {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
			s.answer(w, nil, transitError{http.StatusBadRequest, "error parsing JSON"})
			return
		}
	}
	data, err := s.handle(r, path, body)
	s.answer(w, data, err)
}

func (s *transitServer) answer(w http.ResponseWriter, data map[string]any, err error) {
	w.Header().Set("Content-Type", "application/json")
	var refused transitError
	switch {
	case errors.As(err, &refused):
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{refused.text}}) // the client may be gone
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
	case data == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		_ = json.NewEncoder(w).Encode(data) // the client may be gone
	}
}

func (s *transitServer) handle(r *http.Request, path string, body map[string]any) (map[string]any, error) {
	if path == "sys/unseal" {
		if text(body, "key") == s.unseal {
			s.sealed = false
		}
		return map[string]any{"sealed": s.sealed}, nil
	}
	if s.sealed {
		return nil, transitError{http.StatusServiceUnavailable, "Vault is sealed"}
	}
	if !s.allowed(r.Header.Get("X-Vault-Token"), r.Method, path) {
		return nil, transitError{http.StatusForbidden, denied}
	}
	switch {
	case path == "sys/seal":
		s.sealed = true
		return nil, nil
	case strings.HasPrefix(path, "sys/mounts/"):
		s.engines[strings.TrimPrefix(path, "sys/mounts/")] = map[string]*transitKey{}
		return nil, nil
	case strings.HasPrefix(path, "sys/policies/acl/"):
		rules, err := parsePolicy(text(body, "policy"))
		s.policies[strings.TrimPrefix(path, "sys/policies/acl/")] = rules
		return nil, err
	case path == "auth/token/create":
		return s.newToken(body), nil
	}
	engine, rest, _ := strings.Cut(path, "/")
	keys, ok := s.engines[engine]
	if !ok {
		return nil, transitError{http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", path)}
	}
	return s.transit(r, keys, rest, body)
}

func (s *transitServer) newToken(body map[string]any) map[string]any {
	token := "hvs." + rand.Text()
	names, _ := body["policies"].([]any)
	for _, n := range names {
		s.tokens[token] = append(s.tokens[token], fmt.Sprint(n))
	}
	return map[string]any{"auth": map[string]any{"client_token": token}}
}

// allowed is default deny: some policy of the token must have a rule for the path with the capability of the method.
func (s *transitServer) allowed(token, method, path string) bool {
	if token == s.root {
		return true
	}
	capability := map[string]string{http.MethodGet: "read", http.MethodPost: "update", http.MethodPut: "update", http.MethodDelete: "delete"}[method]
	for _, policy := range s.tokens[token] {
		for _, rule := range s.policies[policy] {
			prefix, wild := strings.CutSuffix(rule.path, "*")
			if (rule.path == path || wild && strings.HasPrefix(path, prefix)) && slices.Contains(rule.capabilities, capability) {
				return true
			}
		}
	}
	return false
}

var (
	policyRule = regexp.MustCompile(`(?s)path\s+"([^"]+)"\s*\{\s*capabilities\s*=\s*\[([^\]]*)\]\s*\}`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
	remark     = regexp.MustCompile(`(?m)#.*$`)
)

func parsePolicy(policy string) ([]transitRule, error) {
	policy = remark.ReplaceAllString(policy, "")
	var rules []transitRule
	for _, m := range policyRule.FindAllStringSubmatch(policy, -1) {
		rule := transitRule{path: m[1]}
		for _, c := range quoted.FindAllStringSubmatch(m[2], -1) {
			rule.capabilities = append(rule.capabilities, c[1])
		}
		rules = append(rules, rule)
	}
	if strings.TrimSpace(policyRule.ReplaceAllString(policy, "")) != "" {
		return nil, transitError{http.StatusBadRequest, "failed to parse policy"}
	}
	return rules, nil
}

func (s *transitServer) transit(r *http.Request, keys map[string]*transitKey, path string, body map[string]any) (map[string]any, error) {
	method := r.Method
	verb, rest, _ := strings.Cut(path, "/")
	name, change, _ := strings.Cut(rest, "/")
	k := keys[name]
	switch {
	case verb == "encrypt":
		if k == nil { // Who may create makes the key by using it. The rules above give nobody that but the root.
			if r.Header.Get("X-Vault-Token") != s.root {
				return nil, transitError{http.StatusForbidden, denied}
			}
			k = newTransitKey()
			keys[name] = k
		}
		return k.encrypt(text(body, "plaintext"))
	case verb == "decrypt":
		if k == nil {
			return nil, transitError{http.StatusBadRequest, "encryption key not found"}
		}
		return k.decrypt(text(body, "ciphertext"))
	case verb != "keys":
		return nil, transitError{http.StatusNotFound, "no handler for route"}
	case method == http.MethodPost && change == "" && k == nil:
		k = newTransitKey()
		keys[name] = k
		return k.tell(name), nil
	case k == nil && method == http.MethodGet:
		return nil, transitError{http.StatusNotFound, ""}
	case k == nil:
		return nil, transitError{http.StatusBadRequest, "no existing key named " + name + " could be found"}
	case method == http.MethodDelete:
		if !k.deletable {
			return nil, transitError{http.StatusBadRequest, "error deleting policy " + name + ": deletion is not allowed for this key"}
		}
		delete(keys, name)
		return nil, nil
	case change == "rotate":
		k.rotate()
	case change == "config":
		return nil, k.configure(body)
	case change == "trim":
		return nil, k.trim(number(body, "min_available_version"))
	}
	return k.tell(name), nil
}

func newTransitKey() *transitKey {
	k := &transitKey{versions: map[int][]byte{}, minDecrypt: 1}
	k.rotate()
	return k
}

func (k *transitKey) rotate() {
	k.latest++
	k.versions[k.latest] = make([]byte, 32)
	_, _ = rand.Read(k.versions[k.latest]) // never fails
}

func (k *transitKey) tell(name string) map[string]any {
	return map[string]any{"data": map[string]any{
		"name": name, "type": "aes256-gcm96", "latest_version": k.latest, "deletion_allowed": k.deletable,
		"min_decryption_version": k.minDecrypt, "min_encryption_version": k.minEncrypt, "min_available_version": k.minThere,
	}}
}

func (k *transitKey) configure(body map[string]any) error {
	if allowed, given := body["deletion_allowed"].(bool); given {
		k.deletable = allowed
	}
	for name, at := range map[string]*int{"min_decryption_version": &k.minDecrypt, "min_encryption_version": &k.minEncrypt} {
		if _, given := body[name]; !given {
			continue
		}
		v := number(body, name)
		if v > k.latest {
			return transitError{http.StatusBadRequest, fmt.Sprintf("cannot set %s of %d, latest key version is %d", name, v, k.latest)}
		}
		*at = v
	}
	return nil
}

func (k *transitKey) trim(first int) error {
	if first > k.minDecrypt || first > k.minEncrypt || first < k.minThere {
		return transitError{http.StatusBadRequest, "minimum available version cannot be higher than the minimum of encryption and decryption"}
	}
	for v := range k.versions {
		if v < first {
			delete(k.versions, v)
		}
	}
	k.minThere = first
	return nil
}

func (k *transitKey) aead(version int) (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.versions[version])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k *transitKey) encrypt(plaintext string) (map[string]any, error) {
	plain, err := base64.StdEncoding.DecodeString(plaintext)
	if err != nil {
		return nil, transitError{http.StatusBadRequest, "failed to base64-decode plaintext"}
	}
	aead, err := k.aead(k.latest)
	if err != nil {
		return nil, transitError{http.StatusInternalServerError, err.Error()}
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return map[string]any{"data": map[string]any{
		"ciphertext":  fmt.Sprintf("vault:v%d:%s", k.latest, base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, nil))),
		"key_version": k.latest,
	}}, nil
}

func (k *transitKey) decrypt(ciphertext string) (map[string]any, error) {
	rest, ok := strings.CutPrefix(ciphertext, "vault:v")
	word, sealed, found := strings.Cut(rest, ":")
	version, err := strconv.Atoi(word)
	if !ok || !found || err != nil {
		return nil, transitError{http.StatusBadRequest, "invalid ciphertext: no prefix"}
	}
	b, err := base64.StdEncoding.DecodeString(sealed)
	switch {
	case err != nil:
		return nil, transitError{http.StatusBadRequest, "invalid ciphertext: could not decode base64"}
	case version > k.latest:
		return nil, transitError{http.StatusBadRequest, "invalid ciphertext: version is too new"}
	case version < k.minDecrypt || k.versions[version] == nil:
		return nil, transitError{http.StatusBadRequest, "ciphertext or signature version is disallowed by policy (too old)"}
	}
	aead, err := k.aead(version)
	if err == nil && len(b) < aead.NonceSize() {
		err = transitError{http.StatusBadRequest, "invalid ciphertext length"}
	}
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], nil)
	if err != nil {
		return nil, transitError{http.StatusBadRequest, "cipher: message authentication failed"}
	}
	return map[string]any{"data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}}, nil
}

func text(body map[string]any, name string) string {
	s, _ := body[name].(string)
	return s
}

func number(body map[string]any, name string) int {
	n, _ := body[name].(float64)
	return int(n)
}
