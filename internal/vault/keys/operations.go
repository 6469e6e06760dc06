package keys

import (
	"slices"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Operation is one use of a key, in the words of key_ops (RFC 7517 section 4.3).
type Operation = algorithm.Operation

// What a key can be made for besides its algorithms (contract §2.5).
const (
	Import Operation = "import" // the key receives other keys (BYOK), and does nothing else
	Export Operation = "export" // the key may be released
)

// nature is what decides which operations a key may have.
type nature struct {
	kty        string
	spec       keystore.Spec
	publicOnly bool // the private half is not here
	exportable bool
}

// can lists the operations of the key's algorithms.
func (n nature) can() []Operation {
	return n.possible(algorithm.Operations(n.spec))
}

func (n nature) possible(ops []Operation) []Operation {
	if !n.publicOnly {
		return ops
	}
	return slices.DeleteFunc(ops, func(op Operation) bool { return !algorithm.IsPublic(op, n.spec.Type) })
}

// allow returns the operations that the key is restricted to, each once: the defaults for
// nil, none for an empty list.
func (n nature) allow(ops []Operation) ([]Operation, error) {
	if ops == nil {
		return n.possible(algorithm.Defaults(n.spec)), nil
	}
	can := n.can()
	checked := make([]Operation, 0, len(can))
	for _, op := range ops {
		switch {
		case slices.Contains(checked, op):
		case op == Import && n.receives() && len(ops) == 1, op == Export && n.exportable, slices.Contains(can, op):
			checked = append(checked, op)
		case op == Import:
			return nil, fault.New(fault.Invalid, "BadParameter", "The operation import in key_ops must stand alone, on a key of type RSA-HSM: such a key receives other keys and does nothing else.")
		case op == Export:
			return nil, fault.New(fault.Invalid, "BadParameter", "The operation export in key_ops needs an exportable key with a release policy.")
		case n.publicOnly:
			return nil, fault.New(fault.Invalid, "BadParameter", "The operation %.20q in key_ops needs a private key, and only the public half is here; use some of %q.", op, can)
		default:
			return nil, fault.New(fault.Invalid, "BadParameter", "The operation %.20q in key_ops is not one of an %s key; use some of %q.", op, n.spec.Type, can)
		}
	}
	return checked, nil
}

// change is allow for a key that had the operations was: a key that receives others stays
// one, or what it received could be decrypted with it.
func (n nature) change(was, ops []Operation) ([]Operation, error) {
	if slices.Contains(was, Import) != slices.Contains(ops, Import) {
		return nil, fault.New(fault.Invalid, "BadParameter", "The operation import in key_ops can neither be added nor removed; make another key.")
	}
	return n.allow(ops)
}

// receives reports whether keys can be imported under this one.
func (n nature) receives() bool { return n.kty == string(keystore.RSA)+"-HSM" && !n.publicOnly }

// usable says whether a version may be used now (contract §2.2). Outside its dates a key
// protects nothing new, but what it protected before can still be read and verified.
func usable(x object.Version, ops []Operation, op Operation, now time.Time) error {
	switch protects := op == algorithm.Sign || op == algorithm.Encrypt || op == algorithm.WrapKey; {
	case !x.Enabled:
		return fault.New(fault.Denied, "KeyDisabled", "Operation %s is not allowed on a disabled key.", op)
	case !slices.Contains(ops, op):
		return fault.New(fault.Denied, "KeyOperationForbidden", "Operation %s is not permitted on this key.", op)
	case protects && !x.NotBefore.IsZero() && now.Before(x.NotBefore):
		return fault.New(fault.Denied, "KeyNotYetValid", "Operation %s is not allowed on a key before its nbf, %s.", op, x.NotBefore.UTC().Format(time.RFC3339))
	case protects && !x.Expires.IsZero() && !now.Before(x.Expires):
		return fault.New(fault.Denied, "KeyExpired", "Operation %s is not allowed on a key that expired on %s.", op, x.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
