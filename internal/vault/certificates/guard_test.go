package certificates_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"
)

// forgetful refuses records of one operation.
type forgetful struct {
	audit.Recorder
	operation string
}

func (f forgetful) Record(ctx context.Context, r audit.Record) error {
	if r.Operation == f.operation && r.Outcome == audit.Success {
		return errors.New("no space left")
	}
	return f.Recorder.Record(ctx, r)
}

func TestWithoutItsRecordNothingHappens(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		_, b := imported(t)
		h.create("kept", selfEC)
		before := rows(t, db)
		trail := h.Audit
		ctx := t.Context()
		for operation, try := range map[string]func() error{
			"CertificateCreate": func() error {
				_, err := h.certs.Create(ctx, h.Caller, ref("new"), certificates.CreateRequest{Policy: parsePolicy(t, selfEC)})
				return err
			},
			"CertificateImport": func() error {
				_, err := h.certs.Import(ctx, h.Caller, ref("new"), certificates.ImportRequest{Bundle: b})
				return err
			},
			"CertificateDelete": func() error { _, err := h.certs.Delete(ctx, h.Caller, ref("kept")); return err },
			"CertificateExport": func() error {
				got, err := h.certs.Export(ctx, h.Caller, ref("kept"))
				if got.Key != nil {
					t.Error("the key was revealed without a record")
				}
				return err
			},
		} {
			h.Deps.Audit = forgetful{trail, operation}
			h.serve()

			if err := try(); err == nil {
				t.Errorf("%s succeeded without a record", operation)
			}

			h.Deps.Audit = trail
			h.serve()
			if after := rows(t, db); after != before {
				t.Errorf("%s: %d rows became %d", operation, before, after)
			}
			h.revealed(h.get("kept"))
		}
	})
}

func TestEveryOperationAsksTheGuard(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	ctx := t.Context()
	h.create("web", selfEC)
	r := ref("web")
	for _, a := range []string{"read", "create/action", "import/action", "update/action", "delete", "recover/action", "purge/action", "backup/action", "restore/action"} {
		h.Deny(access.Action("Microsoft.KeyVault/vaults/certificates/" + a))
	}
	h.Deny("Microsoft.KeyVault/vaults/secrets/getSecret/action")
	page := object.Page{Limit: 1}
	for name, try := range map[string]func() error{
		"Create":        func() error { _, err := h.certs.Create(ctx, h.Caller, r, certificates.CreateRequest{}); return err },
		"Import":        func() error { _, err := h.certs.Import(ctx, h.Caller, r, certificates.ImportRequest{}); return err },
		"Get":           func() error { _, err := h.certs.Get(ctx, h.Caller, r); return err },
		"Policy":        func() error { _, err := h.certs.Policy(ctx, h.Caller, r); return err },
		"UpdatePolicy":  func() error { _, err := h.certs.UpdatePolicy(ctx, h.Caller, r, policy.Policy{}); return err },
		"Update":        func() error { _, err := h.certs.Update(ctx, h.Caller, r, certificates.UpdateRequest{}); return err },
		"Pending":       func() error { _, err := h.certs.Pending(ctx, h.Caller, r, ""); return err },
		"Cancel":        func() error { _, err := h.certs.Cancel(ctx, h.Caller, r); return err },
		"DeletePending": func() error { _, err := h.certs.DeletePending(ctx, h.Caller, r); return err },
		"Merge":         func() error { _, err := h.certs.Merge(ctx, h.Caller, r, certificates.MergeRequest{}); return err },
		"Export":        func() error { _, err := h.certs.Export(ctx, h.Caller, r); return err },
		"List":          func() error { _, err := h.certs.List(ctx, h.Caller, r.Vault, page, true); return err },
		"ListDeleted":   func() error { _, err := h.certs.ListDeleted(ctx, h.Caller, r.Vault, page, true); return err },
		"Versions":      func() error { _, err := h.certs.Versions(ctx, h.Caller, r, page); return err },
		"GetDeleted":    func() error { _, err := h.certs.GetDeleted(ctx, h.Caller, r); return err },
		"Delete":        func() error { _, err := h.certs.Delete(ctx, h.Caller, r); return err },
		"Recover":       func() error { _, err := h.certs.Recover(ctx, h.Caller, r); return err },
		"Purge":         func() error { return h.certs.Purge(ctx, h.Caller, r) },
		"Backup":        func() error { _, err := h.certs.Backup(ctx, h.Caller, r); return err },
		"Restore":       func() error { _, err := h.certs.Restore(ctx, h.Caller, r.Vault, nil); return err },
	} {
		if err := try(); !fault.HasCode(err, "ForbiddenByRbac") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	ctx := t.Context()
	_, b := imported(t)
	create := func(name, p string) error {
		q := certificates.CreateRequest{}
		if p != "" {
			q.Policy = parsePolicy(t, p)
		}
		_, err := h.certs.Create(ctx, h.Caller, ref(name), q)
		return err
	}
	load := func(q certificates.ImportRequest) error {
		_, err := h.certs.Import(ctx, h.Caller, ref("new"), q)
		return err
	}
	for name, test := range map[string]struct {
		err  error
		kind fault.Kind
		code string
	}{
		"no policy":          {create("new", ""), fault.Invalid, "BadParameter"},
		"a bad name":         {create("a_b", selfEC), fault.Invalid, "BadParameter"},
		"an unknown issuer":  {create("new", strings.Replace(selfEC, "self", "digicert", 1)), fault.NotFound, "CertificateIssuerNotFound"},
		"an unmakeable key":  {create("new", strings.Replace(selfEC, `"kty":"EC"`, `"kty":"EC","crv":"P-192"`, 1)), fault.Invalid, "BadParameter"},
		"nothing to import":  {load(certificates.ImportRequest{}), fault.Invalid, "BadParameter"},
		"noise to import":    {load(certificates.ImportRequest{Value: "hello"}), fault.Invalid, "BadParameter"},
		"a policy of RSA":    {load(certificates.ImportRequest{Bundle: b, Policy: parsePolicy(t, `{"key_props":{"kty":"RSA"}}`)}), fault.Invalid, "BadParameter"},
		"key without leaf":   {load(certificates.ImportRequest{Bundle: pfx.Bundle{Key: ecKey(t), Certificates: b.Certificates}}), fault.Invalid, "BadParameter"},
		"too many tags":      {load(certificates.ImportRequest{Bundle: b, Attributes: object.Attributes{Tags: manyTags()}}), fault.Invalid, "BadParameter"},
		"merge into nothing": {second(h.certs.Merge(ctx, h.Caller, ref("new"), certificates.MergeRequest{})), fault.NotFound, "CertificateNotFound"},
		"policy of nothing":  {second(h.certs.UpdatePolicy(ctx, h.Caller, ref("new"), policy.Policy{})), fault.NotFound, "CertificateNotFound"},
		"cancel nothing":     {second(h.certs.Cancel(ctx, h.Caller, ref("new"))), fault.NotFound, "CertificateNotFound"},
	} {
		if !fault.Is(test.err, test.kind) || !fault.HasCode(test.err, test.code) {
			t.Errorf("%s: %v", name, test.err)
		}
	}
	if n := rows(t, h.DB); n != 0 {
		t.Errorf("%d rows were written", n)
	}

	op := h.create("web", unknownEC)
	leaf := newCA(t).issue(t, publicOf(t, op))
	many := make([][]byte, pfx.MaxBags+1)
	for i := range many {
		many[i] = leaf.Raw
	}
	for name, list := range map[string][][]byte{"none": {}, "too many": many, "noise": {[]byte("x")}, "too large": {make([]byte, pfx.MaxSize+1)}} {
		if _, err := h.certs.Merge(ctx, h.Caller, ref("web"), certificates.MergeRequest{Certificates: list}); !fault.Is(err, fault.Invalid) {
			t.Errorf("merge of %s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func manyTags() map[string]string {
	tags := map[string]string{}
	for i := range 16 {
		tags[fmt.Sprint(i)] = ""
	}
	return tags
}

func TestPolicyIsChangedAndStamped(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	ctx := t.Context()
	h.create("web", selfEC)
	created := h.Time()
	h.Advance(time.Hour)

	p, err := h.certs.UpdatePolicy(ctx, h.Caller, ref("web"), *parsePolicy(t, `{"key_props":{"kty":"EC","crv":"P-521","exportable":true,"reuse_key":false},"attributes":{"enabled":false,"created":5}}`))

	if err != nil || p.Key.Curve != "P-521" || p.X509.Subject != "CN=web" {
		t.Errorf("policy %+v: %v", p, err)
	}
	a := p.Attributes
	if *a.Enabled || a.Created != created.Unix() || a.Updated != h.Time().Unix() {
		t.Errorf("attributes %+v", a)
	}
	read, err := h.certs.Policy(ctx, h.Caller, ref("web"))
	if d := cmp.Diff(p, read); err != nil || d != "" {
		t.Errorf("read (%v):\n%s", err, d)
	}
	if _, err := h.certs.UpdatePolicy(ctx, h.Caller, ref("web"), *parsePolicy(t, `{"key_props":{"kty":"oct"}}`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("an impossible policy: %v", err)
	}
	c, err := h.certs.Update(ctx, h.Caller, ref("web"), certificates.UpdateRequest{Policy: parsePolicy(t, `{"secret_props":{"contentType":"application/x-pem-file"}}`)})
	if err != nil || !c.Policy.WantsPEM() || c.Policy.Key.Curve != "P-521" {
		t.Errorf("policy by update %+v: %v", c.Policy, err)
	}
	if _, err := h.certs.Create(ctx, h.Caller, ref("web"), certificates.CreateRequest{}); err != nil {
		t.Fatal(err)
	}
	if leaf := leafOf(t, h.get("web")); leaf.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P521() {
		t.Error("the next version does not follow the policy")
	}
}

func TestKeysAndPasswordsNeverPrint(t *testing.T) {
	q := certificates.ImportRequest{Value: "canary", Password: "canary", Bundle: pfx.Bundle{Key: ecKey(t)}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if out := fmt.Sprintf(verb, q); strings.Contains(out, "canary") || strings.Contains(out, "63616e617279") || strings.Contains(out, "PublicKey") {
			t.Errorf("%s prints %s", verb, out)
		}
	}
}
