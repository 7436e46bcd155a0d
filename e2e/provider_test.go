package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// newProvider runs another provider of accounts, as OpenID Connect has it: everybody who comes from it is the same
// person. There is no page to sign in: linkAccount comes back from it with any code.
func newProvider(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	answer := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{
			"issuer": server.URL, "authorization_endpoint": server.URL + "/auth", "token_endpoint": server.URL + "/token",
			"jwks_uri": server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		exponent := big.NewInt(int64(key.E)).Bytes()
		answer(w, object{"keys": []object{
			{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": encode(key.N.Bytes()), "e": encode(exponent)},
		}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		claims, _ := json.Marshal(object{
			"iss": server.URL, "aud": "club", "sub": "1", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		})
		signed := encode([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + encode(claims)
		digest := sha256.Sum256([]byte(signed))
		signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		answer(w, object{"access_token": "a", "token_type": "Bearer", "id_token": signed + "." + encode(signature)})
	})
	return server.URL
}

// linkAccount links the provider's account in the settings, with a browser.
func (p *person) linkAccount(provider string) seen {
	p.t.Helper()
	flow := p.start("settings")
	form := url.Values{"link": {provider}, "csrf_token": {fieldValue(flow, "csrf_token")}}
	action, _ := at(flow, "ui", "action").(string)
	sent := p.do(http.MethodPost, action, "application/x-www-form-urlencoded", []byte(form.Encode()))
	target, err := url.Parse(sent.text)
	if err != nil || target.Query().Get("state") == "" {
		p.t.Fatalf("not sent to the provider: %d %s", sent.status, sent.text)
	}
	back := url.Values{"code": {"c"}, "state": {target.Query().Get("state")}}
	return p.open(target.Query().Get("redirect_uri") + "?" + back.Encode())
}
