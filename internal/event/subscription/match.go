package subscription

import (
	"context"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

const (
	maxTypes = 50
	maxText  = 512 // bytes of a type or a part of a subject
)

// check refuses filters that make no sense, and gives the source its one form.
func (f *Filter) check() error {
	scope, err := access.ParseScope(f.Source)
	if err != nil {
		return fault.New(fault.Invalid, "InvalidSource", "source %.64q is not valid; write \"/\" for everything, or a path such as /vaults/payroll", f.Source)
	}
	f.Source = string(scope)
	if len(f.Types) > maxTypes {
		return fault.New(fault.Invalid, "InvalidTypes", "%d types were named; at most %d are allowed, and one that ends with * stands for many", len(f.Types), maxTypes)
	}
	for _, t := range f.Types {
		if t == "" || len(t) > maxText || strings.Contains(strings.TrimSuffix(t, "*"), "*") {
			return fault.New(fault.Invalid, "InvalidTypes", "type %.64q is not valid; write a type, or its beginning with a * at the end", t)
		}
	}
	if len(f.SubjectPrefix) > maxText || len(f.SubjectSuffix) > maxText {
		return fault.New(fault.Invalid, "InvalidSubject", "the beginning or end of a subject has at most %d bytes", maxText)
	}
	return nil
}

// wants reports whether the filter lets an event through.
func (f *Filter) wants(e event.Event) bool {
	return access.Scope(strings.ToLower(e.Source)).Within(access.Scope(f.Source)) && f.wantsType(e.Type) &&
		hasPrefixFold(e.Subject, f.SubjectPrefix) && hasSuffixFold(e.Subject, f.SubjectSuffix)
}

func (f *Filter) wantsType(t string) bool {
	for _, want := range f.Types {
		if begin, open := strings.CutSuffix(want, "*"); want == t || open && strings.HasPrefix(t, begin) {
			return true
		}
	}
	return len(f.Types) == 0
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// Take implements event.Outbox. An event that nobody wants costs a look at a list in memory.
func (s *Service) Take(ctx context.Context, e event.Event) error {
	var ids []string
	for _, x := range *s.active.Load() {
		if x.wants(e) {
			ids = append(ids, x.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := s.Deliveries.Add(ctx, e.ID, ids, s.Now()); err != nil {
		return err
	}
	s.Store.AfterCommit(ctx, func(committed bool) {
		if committed {
			s.wake(ids...)
		}
	})
	return nil
}
