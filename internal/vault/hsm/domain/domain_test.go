package domain_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/blob/blobtest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/quorum"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// holders are made once for all tests: RSA keys are slow to make.
var holders = sync.OnceValue(func() []quorum.Holder {
	var list []quorum.Holder
	for i := range 3 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("holder ", i)}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		list = append(list, quorum.Holder{Certificate: cert, Key: key})
	}
	return list
})

func jwk(h quorum.Holder) domain.JWK {
	return domain.JWK{
		KeyID: h.Certificate.Subject.String(), Type: "RSA", Ops: []string{"verify", "encrypt", "wrapKey"}, Algorithm: "RSA-OAEP-256",
		N: base64.RawURLEncoding.EncodeToString(h.Key.N.Bytes()), E: "AQAB",
		Chain: []string{base64.StdEncoding.EncodeToString(h.Certificate.Raw)}, Thumbprint: quorum.Thumbprint(h.Certificate.Raw),
	}
}

func jwks() []domain.JWK {
	var list []domain.JWK
	for _, h := range holders() {
		list = append(list, jwk(h))
	}
	return list
}

// certificate is that of a transfer key.
func certificate(t *testing.T, j domain.JWK) *x509.Certificate {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(j.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// site is an installation of its own: another database, another root key.
type site struct {
	*hsmtest.World
	domains *domain.Service
	backups *backup.Service
	queued  []backup.Run
	user    access.Caller
}

func install(t *testing.T, s *blobtest.Server) *site {
	t.Helper()
	x := &site{World: hsmtest.New(t, storagetest.SQLite(t)), user: hsmtest.Someone()}
	x.domains = domain.New(x.Deps)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}
	x.backups = backup.New(backup.Config{
		Deps: x.Deps, Domains: x.domains, Roles: x.Roles,
		Containers: func(address string, token backup.Token) (backup.Container, error) {
			return blob.New(address, string(token), transport)
		},
		Enqueue: func(_ context.Context, r backup.Run) error {
			x.queued = append(x.queued, r)
			return nil
		},
	})
	x.Assign(t, x.user, role.CryptoUser, "/")
	return x
}

func (x *site) run(t *testing.T, task backup.Task, p backup.Place) backup.Job {
	t.Helper()
	j, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, task, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.backups.HandleRun(t.Context(), x.queued[len(x.queued)-1]); err != nil {
		t.Fatal(err)
	}
	done, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, j.ID, task != backup.Full)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (x *site) key(t *testing.T, name string) object.Ref {
	t.Helper()
	e, err := x.Keys.Create(t.Context(), x.user, object.Ref{Vault: hsmtest.HSM, Name: name}, keys.CreateRequest{Type: "EC-HSM"})
	if err != nil {
		t.Fatal(err)
	}
	return object.Ref{Vault: hsmtest.HSM, Name: name, Version: e.Version.ID}
}

var es256 = keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: bytes.Repeat([]byte{7}, 32)}}

// The drill of a lost site (reliability D10): the machines, the database and the root key
// are gone. What is left is the backup, the file of the security domain, and its holders.
func TestSiteIsRecoveredByAQuorumAndByNoFewer(t *testing.T) {
	s := blobtest.New(t)
	lost := install(t, s)
	var names []object.Ref
	var signatures [][]byte
	for i := range 20 {
		r := lost.key(t, fmt.Sprint("key-", i))
		res, err := lost.Keys.Sign(t.Context(), lost.user, r, es256)
		if err != nil {
			t.Fatal(err)
		}
		names, signatures = append(names, r), append(signatures, res.Value)
	}
	file, err := lost.domains.Download(t.Context(), lost.Caller, hsmtest.HSM, jwks(), 2)
	if err != nil {
		t.Fatal(err)
	}
	place := backup.Place{Address: s.URL(), Token: blobtest.Token}
	saved := lost.run(t, backup.Full, place)
	place.Folder = saved.Folder

	fresh := install(t, s)
	if j := fresh.run(t, backup.Whole, place); j.Status != backup.Failed || j.Code != "SecurityDomainMismatch" {
		t.Fatalf("before the upload: %+v", j)
	}
	transfer, err := fresh.domains.TransferKey(t.Context(), fresh.Caller, hsmtest.HSM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := quorum.Open(file, holders()[1:2]); err == nil {
		t.Fatal("one holder of two opened the security domain")
	}
	secrets, err := quorum.Open(file, holders()[1:])
	if err != nil {
		t.Fatal(err)
	}
	value, err := quorum.Reseal(secrets, certificate(t, transfer))
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.domains.Upload(t.Context(), fresh.Caller, hsmtest.HSM, value); err != nil {
		t.Fatal(err)
	}
	if j := fresh.run(t, backup.Whole, place); j.Status != backup.Succeeded {
		t.Fatalf("restore %+v", j)
	}

	for i, r := range names {
		ok, err := fresh.Keys.Verify(t.Context(), lost.user, r, es256, signatures[i])
		if err != nil || !ok {
			t.Errorf("%s does not verify what it signed: %v, %v", r.Name, ok, err)
		}
		if _, err := fresh.Keys.Sign(t.Context(), lost.user, r, es256); err != nil {
			t.Errorf("%s does not sign: %v", r.Name, err)
		}
	}
	if _, err := fresh.Roles.Assignments(t.Context(), fresh.Caller, hsmtest.HSM, "/", ""); err != nil {
		t.Errorf("the Administrator of the new site lost the HSM: %v", err)
	}
}

func TestHSMWithKeysKeepsItsDomain(t *testing.T) {
	s := blobtest.New(t)
	x := install(t, s)
	transfer, err := x.domains.TransferKey(t.Context(), x.Caller, hsmtest.HSM)
	if err != nil {
		t.Fatal(err)
	}
	file, err := x.domains.Download(t.Context(), x.Caller, hsmtest.HSM, jwks(), 3)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := quorum.Open(file, holders())
	if err != nil {
		t.Fatal(err)
	}
	value, err := quorum.Reseal(secrets, certificate(t, transfer))
	if err != nil {
		t.Fatal(err)
	}
	r := x.key(t, "a")
	if _, err := x.Keys.Delete(t.Context(), x.user, object.Ref{Vault: r.Vault, Name: r.Name}); err != nil {
		t.Fatal(err)
	}

	if err := x.domains.Upload(t.Context(), x.Caller, hsmtest.HSM, value); !fault.HasCode(err, "HSMNotEmpty") {
		t.Errorf("an HSM with a deleted key: %v", err)
	}
}

func TestTransferKeyIsGoodForOneUploadAndAWeek(t *testing.T) {
	x := install(t, blobtest.New(t))
	upload := func(j domain.JWK) error {
		t.Helper()
		file, err := x.domains.Download(t.Context(), x.Caller, hsmtest.HSM, jwks(), 2)
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := quorum.Open(file, holders())
		if err != nil {
			t.Fatal(err)
		}
		value, err := quorum.Reseal(secrets, certificate(t, j))
		if err != nil {
			t.Fatal(err)
		}
		return x.domains.Upload(t.Context(), x.Caller, hsmtest.HSM, value)
	}
	transfer := func() domain.JWK {
		t.Helper()
		j, err := x.domains.TransferKey(t.Context(), x.Caller, hsmtest.HSM)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	first := transfer()
	if again := transfer(); again.Thumbprint != first.Thumbprint {
		t.Error("it changes while it is good")
	}
	if err := upload(first); err != nil {
		t.Fatal(err)
	}
	if err := upload(first); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second upload: %v", err)
	}
	second := transfer()
	if second.Thumbprint == first.Thumbprint {
		t.Error("the next transfer key is the same")
	}
	if err := upload(first); !fault.Is(err, fault.Invalid) {
		t.Errorf("a value for the one before: %v", err)
	}
	x.Advance(8 * 24 * time.Hour)
	if err := upload(second); !fault.Is(err, fault.Conflict) {
		t.Errorf("after a week: %v", err)
	}
}

func TestHoldersThatCannotBeOnesAreRefused(t *testing.T) {
	x := install(t, blobtest.New(t))
	good := jwks()
	with := func(change func(j *domain.JWK)) []domain.JWK {
		list := jwks()
		change(&list[1])
		return list
	}
	for name, c := range map[string]struct {
		holders  []domain.JWK
		required int
	}{
		"two of them":              {good[:2], 2},
		"more than ten":            {append(append(append(append([]domain.JWK{}, good...), good...), good...), good...), 2},
		"one is enough":            {good, 1},
		"more than there are":      {good, 4},
		"one twice":                {[]domain.JWK{good[0], good[1], good[0]}, 2},
		"no certificate":           {with(func(j *domain.JWK) { j.Chain = nil }), 2},
		"no base64":                {with(func(j *domain.JWK) { j.Chain[0] = "!" }), 2},
		"not a certificate":        {with(func(j *domain.JWK) { j.Chain[0] = "AAAA" }), 2},
		"another key":              {with(func(j *domain.JWK) { j.N = good[0].N }), 2},
		"another thumbprint":       {with(func(j *domain.JWK) { j.Thumbprint = good[0].Thumbprint }), 2},
		"a key of another type":    {with(func(j *domain.JWK) { j.Type = "EC" }), 2},
		"negative number required": {good, -1},
	} {
		if _, err := x.domains.Download(t.Context(), x.Caller, hsmtest.HSM, c.holders, c.required); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := x.domains.Download(t.Context(), x.Caller, hsmtest.HSM, good, 0); err != nil {
		t.Errorf("two are required where nothing is said: %v", err)
	}
}

func TestUploadsThatAreNoneAreRefused(t *testing.T) {
	x := install(t, blobtest.New(t))
	transfer, err := x.domains.TransferKey(t.Context(), x.Caller, hsmtest.HSM)
	if err != nil {
		t.Fatal(err)
	}
	to := certificate(t, transfer)
	azure, err := quorum.Reseal([]quorum.Secret{{Tag: "hsm_backup", Plain: []byte("x")}}, to)
	if err != nil {
		t.Fatal(err)
	}
	short, err := quorum.Reseal([]quorum.Secret{{Tag: "chatelaine_backup_key", Plain: []byte(`{"key":"AAAA"}`)}}, to)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("x"), "an empty object": []byte("{}"), "Azure's": azure, "a short key": short,
		"too long": []byte(strings.Repeat("x", quorum.MaxFile+1)),
	} {
		if err := x.domains.Upload(t.Context(), x.Caller, hsmtest.HSM, value); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyOfADomainNeverPrints(t *testing.T) {
	x := install(t, blobtest.New(t))
	v, err := x.Vaults.Open(t.Context(), hsmtest.HSM)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x.domains.Key(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	again, err := x.domains.Key(t.Context(), v)
	if err != nil || again.ID() != k.ID() {
		t.Errorf("it changed: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s %x", k, k, k, k, k); text != strings.Repeat("[security domain] ", 4)+"[security domain]" {
		t.Errorf("it prints %s", text)
	}
}

func TestStatusIsKnownOnceSomethingWasDone(t *testing.T) {
	x := install(t, blobtest.New(t))
	if _, err := x.domains.Downloaded(t.Context(), x.Caller, hsmtest.HSM); !fault.Is(err, fault.NotFound) {
		t.Errorf("before: %v", err)
	}
	if _, err := x.domains.Download(t.Context(), x.Caller, hsmtest.HSM, jwks(), 2); err != nil {
		t.Fatal(err)
	}
	if at, err := x.domains.Downloaded(t.Context(), x.Caller, hsmtest.HSM); err != nil || !at.Equal(x.Time()) {
		t.Errorf("after: %s, %v", at, err)
	}
	if _, err := x.domains.Uploaded(t.Context(), x.Caller, hsmtest.HSM); !fault.Is(err, fault.NotFound) {
		t.Errorf("an upload: %v", err)
	}
}
