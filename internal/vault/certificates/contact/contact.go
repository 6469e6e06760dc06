// Package contact keeps the persons who are told by mail about the certificates of a
// vault (contract §1.4, §2.6).
package contact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/mail"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// What is done to contacts; the audit record says Certificate before it (contract §3).
const (
	get    object.Operation = "ContactsGet"
	set    object.Operation = "ContactsSet"
	remove object.Operation = "ContactsDelete"
)

// The limits of a vault's contacts.
const (
	Max       = 50
	MaxText   = 256 // characters of a name or a telephone number
	maxMail   = 254 // RFC 5321, 4.5.3.1.3, without its angle brackets
	headsName = "contacts"
)

// Contact is a person.
type Contact struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// IsAddress reports whether text is an address of mail and nothing besides: no name, no
// comment, no line break, so that it can stand in a message's header as it is.
func IsAddress(text string) bool {
	if len(text) > maxMail || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7F || strings.ContainsRune(`<>(),;:\"[]`, r) }) {
		return false
	}
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && a.Name == ""
}

func check(list []Contact) error {
	if len(list) == 0 || len(list) > Max {
		return fault.New(fault.Invalid, "BadParameter", "%d contacts were sent; send 1 to %d, or delete the contacts to have none.", len(list), Max)
	}
	for _, c := range list {
		if !IsAddress(c.Email) {
			return fault.New(fault.Invalid, "BadParameter", "The contact %.80q has no address of mail; send one such as someone@example.com.", c.Email)
		}
		if len(c.Name) > MaxText || len(c.Phone) > MaxText {
			return fault.New(fault.Invalid, "BadParameter", "The name or phone of the contact %s is longer than %d bytes.", c.Email, MaxText)
		}
	}
	return nil
}

// Service is the contacts of all vaults.
type Service struct{ shelf *object.Shelf }

// New makes the service.
func New(d object.Deps) *Service {
	// Azure has one data action for contacts, and one permission in access policies.
	return &Service{object.NewShelf(d, object.Certificates, map[object.Operation]access.Action{
		get: "certificatecontacts/write", set: "certificatecontacts/write", remove: "certificatecontacts/write",
	})}
}

// Set replaces the contacts of a vault.
func (s *Service) Set(ctx context.Context, c access.Caller, vault string, list []Contact) error {
	r := object.Ref{Vault: vault}
	return s.shelf.Call(ctx, c, set, r, func(v *object.Vault) error {
		if err := check(list); err != nil {
			return err
		}
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			_, err := v.SetHead(ctx, object.Contacts, headsName, func(h *object.Head) (err error) {
				h.Extra, err = json.Marshal(list)
				return err
			})
			if err != nil {
				return err
			}
			return s.shelf.Done(ctx, c, set, r, counted(list))
		})
	})
}

// Get returns the contacts of a vault; fault.NotFound when it has none.
func (s *Service) Get(ctx context.Context, c access.Caller, vault string) (list []Contact, err error) {
	r := object.Ref{Vault: vault}
	err = s.shelf.Call(ctx, c, get, r, func(v *object.Vault) error {
		if list, err = Find(ctx, v); err != nil {
			return err
		}
		return s.shelf.Done(ctx, c, get, r, counted(list))
	})
	return list, err
}

// Find is Get for an operation that authorises and records by itself.
func Find(ctx context.Context, v *object.Vault) ([]Contact, error) {
	e, err := v.Read(ctx, object.Contacts, headsName, "")
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "ContactsNotFound", "Contacts not found. Set the certificate contacts of this key vault first.")
	}
	if err != nil {
		return nil, err
	}
	var list []Contact
	if err := json.Unmarshal(e.Head.Extra, &list); err != nil {
		return nil, fmt.Errorf("contacts of vault %s: %w", v.Name, err)
	}
	return list, nil
}

// Delete forgets the contacts of a vault and returns them as they were.
func (s *Service) Delete(ctx context.Context, c access.Caller, vault string) (list []Contact, err error) {
	r := object.Ref{Vault: vault}
	err = s.shelf.Call(ctx, c, remove, r, func(v *object.Vault) error {
		return s.shelf.Transact(ctx, func(ctx context.Context) error {
			if list, err = Find(ctx, v); err != nil {
				return err
			}
			if _, err := v.Delete(ctx, object.Contacts, headsName); err != nil {
				return err
			}
			if err := v.Purge(ctx, object.Contacts, headsName, true); err != nil {
				return err
			}
			return s.shelf.Done(ctx, c, remove, r, counted(list))
		})
	})
	return list, err
}

func counted(list []Contact) map[audit.Field]string {
	return map[audit.Field]string{audit.Count: strconv.Itoa(len(list))}
}

// Key names a contact of a vault where its address shall not stand.
func (c Contact) Key() string {
	sum := sha256.Sum256([]byte(strings.ToLower(c.Email)))
	return hex.EncodeToString(sum[:16])
}
