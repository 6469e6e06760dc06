package subscription

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// validate asks the endpoint whether it wants events, and keeps what it said. The error is
// one of ours; what is wrong with the endpoint becomes the subscription's Problem. The
// code is stored already: the endpoint may use the link to it at once.
func (s *Service) validate(ctx context.Context, c access.Caller, x Stored) (Stored, error) {
	problem := s.ask(ctx, x)
	rec := c.Record("SubscriptionValidate", Path(x.ID))
	if problem != "" {
		rec.Outcome = audit.Failed
	}
	return s.change(ctx, rec, x.ID, func(now *Stored) error {
		if now.State == Active || now.Code.Reveal() != x.Code.Reveal() {
			return nil // agreed by hand meanwhile, or asked again by somebody else
		}
		if now.Problem = problem; problem == "" {
			now.State, now.Code, now.CodeUntil = Active, access.Secret{}, time.Time{}
		}
		return nil
	})
}

// ask makes the handshake of the schema and returns why the endpoint did not agree.
func (s *Service) ask(ctx context.Context, x Stored) string {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if x.Schema == EventGrid {
		return s.askEventGrid(ctx, x)
	}
	return s.askCloudEvents(ctx, x)
}

// askEventGrid sends the validation event, whose code the endpoint answers with.
func (s *Service) askEventGrid(ctx context.Context, x Stored) string {
	body, err := json.Marshal([]gridEvent{{
		ID: x.ID, Topic: s.Source(x.Source), Subject: "", EventType: "Microsoft.EventGrid.SubscriptionValidationEvent", EventTime: s.Now().UTC(),
		Data:        gridValidation{x.Code.Reveal(), s.Callback(x.ID, x.Code.Reveal())},
		DataVersion: "2", MetadataVersion: "1",
	}})
	if err != nil {
		return err.Error()
	}
	r, err := s.request(ctx, x, http.MethodPost, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("aeg-event-type", "SubscriptionValidation")
	r.Header.Set("aeg-subscription-name", strings.ToUpper(x.Name))
	res, answered, problem := s.send(r)
	if problem != "" {
		return problem
	}
	var said struct {
		ValidationResponse string `json:"validationResponse"`
	}
	if json.Unmarshal(answered, &said) != nil || subtle.ConstantTimeCompare([]byte(said.ValidationResponse), []byte(x.Code.Reveal())) != 1 {
		return fmt.Sprintf("the endpoint answered %s without the validation code in validationResponse; its owner can open the validationUrl that it was sent, within %s", res, codeLife)
	}
	return ""
}

// askCloudEvents asks for consent as the Web Hooks for Event Delivery of CloudEvents want
// it (§4, abuse protection).
func (s *Service) askCloudEvents(ctx context.Context, x Stored) string {
	r, err := s.request(ctx, x, http.MethodOptions, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("WebHook-Request-Origin", s.Origin)
	r.Header.Set("WebHook-Request-Callback", s.Callback(x.ID, x.Code.Reveal()))
	var allowed []string
	res, _, problem := s.sendAnd(r, func(h http.Header) { allowed = h.Values("WebHook-Allowed-Origin") })
	if problem != "" {
		return problem
	}
	for _, line := range allowed {
		for _, origin := range strings.Split(line, ",") {
			if origin = strings.TrimSpace(origin); origin == "*" || strings.EqualFold(origin, s.Origin) {
				return ""
			}
		}
	}
	return fmt.Sprintf("the endpoint answered %s without %s in WebHook-Allowed-Origin; its owner can open the address in WebHook-Request-Callback, within %s", res, s.Origin, codeLife)
}

// send sends a request of the handshake, and returns the status and up to 64 KiB of the answer.
func (s *Service) send(r *http.Request) (status string, body []byte, problem string) {
	return s.sendAnd(r, func(http.Header) {})
}

func (s *Service) sendAnd(r *http.Request, see func(http.Header)) (status string, body []byte, problem string) {
	res, err := s.client().Do(r)
	if err != nil {
		return "", nil, plain(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", nil, plain(err)
	}
	if res.StatusCode/100 != 2 {
		return "", nil, "the endpoint answered " + statusOf(res.StatusCode)
	}
	see(res.Header)
	return statusOf(res.StatusCode), body, ""
}

// Confirm is how an endpoint's owner agrees by hand: by the link that only the endpoint
// was sent. Whatever is wrong, the answer is the same.
func (s *Service) Confirm(ctx context.Context, from access.Origin, id, code string) error {
	stranger := access.Caller{Principal: "anonymous"}.From(from)
	rec := stranger.Record("SubscriptionConfirm", "/subscriptions")
	x, err := s.Store.Subscription(ctx, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	want := x.Code.Reveal()
	if err != nil || x.State != Pending || want == "" || !s.Now().Before(x.CodeUntil) || subtle.ConstantTimeCompare([]byte(want), []byte(code)) != 1 {
		rec.Outcome = audit.Denied
		if err := s.Refusals.Note(ctx, rec); err != nil {
			return err
		}
		return fault.New(fault.NotFound, "LinkNotValid", "this link is not valid, or no longer; test the subscription to have a new one sent")
	}
	rec.Target = Path(id)
	_, err = s.change(ctx, rec, id, func(x *Stored) error {
		if x.Code.Reveal() != want {
			return fault.New(fault.NotFound, "LinkNotValid", "this link is not valid, or no longer; test the subscription to have a new one sent")
		}
		x.State, x.Problem, x.Code, x.CodeUntil = Active, "", access.Secret{}, time.Time{}
		return nil
	})
	return err
}

// Trial is what came of a test.
type Trial struct {
	State   State  `json:"state"`
	Answer  string `json:"answer,omitempty"`  // of the endpoint to the event of the test
	Problem string `json:"problem,omitempty"` // empty when it took the event
}

// TestType is the type of the event that a test sends.
const TestType = "Chatelaine.SubscriptionTest"

// Test asks an endpoint that has not agreed yet once more, and sends one that has an event.
func (s *Service) Test(ctx context.Context, c access.Caller, id string) (Trial, error) {
	x, err := s.load(ctx, c, Write, id, "SubscriptionTest")
	if err != nil {
		return Trial{}, err
	}
	x, err = s.change(ctx, c.Record("SubscriptionTest", Path(id)), id, func(x *Stored) error {
		if x.State != Active {
			x.State, x.Problem = Pending, notAnswered
			x.Code, x.CodeUntil = access.Generate(""), s.Now().Add(codeLife)
		}
		return nil
	})
	if err == nil && x.State != Active {
		x, err = s.validate(ctx, c, x)
	}
	if err != nil || x.State != Active {
		return Trial{State: x.State, Problem: x.Problem}, err
	}
	a := s.try(ctx, x, Delivery{Tries: 1, Event: event.Event{
		ID: uuid.NewV7().String(), Source: x.Source, Type: TestType, Subject: x.ID, Time: s.Now(), Data: json.RawMessage(`{}`),
	}})
	t := Trial{State: x.State, Problem: a.problem()}
	if a.status != 0 {
		t.Answer = statusOf(a.status)
	}
	return t, nil
}

// statusOf is a status as people know it.
func statusOf(code int) string {
	return strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code)))
}

// hopeless are answers after which another try is pointless.
func hopeless(status int) bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}, status)
}
