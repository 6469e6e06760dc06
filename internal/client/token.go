package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// source gets access tokens by client credentials (RFC 6749 section 4.4) and keeps each
// until shortly before its end.
type source struct {
	client     *Client
	id, secret string

	mu    sync.Mutex
	token string
	until time.Time
}

// spare is how long before its end a token is replaced.
const spare = time.Minute

func (s *source) get(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && time.Now().Before(s.until) {
		return s.token, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.id}, "client_secret": {s.secret}, "resource": {s.client.URL()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.client.base.JoinPath("adfs/oauth2/token").String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	b, err := s.client.send(r)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return "", fmt.Errorf("sign in to %s: the server does not accept AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; %s", s.client.URL(), hint)
	}
	if err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	var got struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Token == "" {
		return "", fmt.Errorf("sign in: %s is no token endpoint of Chatelaine", s.client.URL())
	}
	s.token, s.until = got.Token, time.Now().Add(time.Duration(got.Seconds)*time.Second-spare)
	return s.token, nil
}

// forget drops the token and reports whether there was one.
func (s *source) forget() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.token != ""
	s.token = ""
	return had
}
