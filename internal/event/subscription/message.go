package subscription

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/event"
)

const (
	tryTimeout = 30 * time.Second
	maxAnswer  = 64 << 10 // bytes that are read of an answer
)

// cloudEvent is CloudEvents 1.0, in the order of Azure's own samples (contract §3).
type cloudEvent struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Subject     string          `json:"subject,omitempty"`
	Type        string          `json:"type"`
	Time        time.Time       `json:"time"`
	Data        json.RawMessage `json:"data,omitempty"`
	SpecVersion string          `json:"specversion"`
}

// gridEvent is the schema of Event Grid (contract §3).
type gridEvent struct {
	ID              string    `json:"id"`
	Topic           string    `json:"topic"`
	Subject         string    `json:"subject"`
	EventType       string    `json:"eventType"`
	EventTime       time.Time `json:"eventTime"`
	Data            any       `json:"data"`
	DataVersion     string    `json:"dataVersion"`
	MetadataVersion string    `json:"metadataVersion"`
}

type gridValidation struct {
	Code string `json:"validationCode"`
	URL  string `json:"validationUrl"`
}

// body is an event in a schema.
func (s *Service) body(schema Schema, e event.Event) ([]byte, error) {
	if schema == EventGrid {
		data := e.Data
		if len(data) == 0 {
			data = json.RawMessage(`{}`) // Event Grid's own library wants an object
		}
		return json.Marshal([]gridEvent{{
			ID: e.ID, Topic: s.Source(e.Source), Subject: e.Subject, EventType: e.Type, EventTime: e.Time.UTC(), Data: data,
			DataVersion: "1", MetadataVersion: "1",
		}})
	}
	return json.Marshal(cloudEvent{
		ID: e.ID, Source: s.Source(e.Source), Subject: e.Subject, Type: e.Type, Time: e.Time.UTC(), Data: e.Data, SpecVersion: "1.0",
	})
}

// answer is what came of one try.
type answer struct {
	status int // 0 when there was none
	after  time.Duration
	err    error
}

// problem is what is wrong, for people; empty when the event was taken.
func (a answer) problem() string {
	switch {
	case a.err != nil:
		return plain(a.err)
	case a.status/100 == 3:
		return "the endpoint answered " + statusOf(a.status) + "; redirects are not followed, subscribe with the address they lead to"
	case a.status/100 != 2:
		return "the endpoint answered " + statusOf(a.status)
	}
	return ""
}

// plain is an error without the address that net/http puts before it: it may hold a token.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) > 256 {
		text = strings.ToValidUTF8(text[:256], "")
	}
	return text
}

// client follows no redirects: the address that was subscribed is the one that agreed.
func (s *Service) client() *http.Client {
	return &http.Client{
		Transport: s.Transport, Timeout: tryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Service) request(ctx context.Context, x Stored, method string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, x.Endpoint.Reveal(), body)
	if err != nil {
		return nil, errors.New("the endpoint is no valid address")
	}
	r.Header.Set("User-Agent", "chatelaine")
	return r, nil
}

// try sends an event once.
func (s *Service) try(ctx context.Context, x Stored, d Delivery) answer {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	body, err := s.body(x.Schema, d.Event)
	if err != nil {
		return answer{err: err}
	}
	r, err := s.request(ctx, x, http.MethodPost, bytes.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if err := s.dress(r, x, d, body); err != nil {
		return answer{err: err}
	}
	res, err := s.client().Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // so that the connection can be used again
	return answer{status: res.StatusCode, after: retryAfter(res.Header, s.Now())}
}

// dress sets the headers of a delivery.
func (s *Service) dress(r *http.Request, x Stored, d Delivery, body []byte) error {
	if x.Schema == EventGrid {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		r.Header.Set("aeg-event-type", "Notification")
		r.Header.Set("aeg-subscription-name", strings.ToUpper(x.Name))
		r.Header.Set("aeg-delivery-count", strconv.Itoa(d.Tries-1)) // repetitions
		r.Header.Set("aeg-data-version", "1")
		r.Header.Set("aeg-metadata-version", "1")
	} else {
		r.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
		r.Header.Set("WebHook-Request-Origin", s.Origin)
	}
	key, err := signingKey(x.Key)
	if err != nil || key == nil {
		return err
	}
	at := strconv.FormatInt(s.Now().Unix(), 10)
	r.Header.Set("webhook-id", d.Event.ID)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", sign(key, d.Event.ID, at, body))
	return nil
}

// sign is the signature of standardwebhooks.com: HMAC-SHA-256 over id, time and body.
func sign(key []byte, id, at string, body []byte) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s.%s.", id, at)
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// retryAfter reads the header of RFC 9110 §10.2.3; zero when there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
