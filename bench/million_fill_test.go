package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"strconv"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/policy"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/eventdb"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/lifecycledb"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/settingsdb"
	"chatelaine.dev/internal/vault/seal"
)

// What a filled folder holds besides the certificates themselves.
const (
	managedEvery = 10  // of so many certificates one belongs to a lineage
	revokedEvery = 100 // and one is revoked
	fillLife     = 90 * 24 * time.Hour
	fillIssuer   = "issuing"
	fillProfile  = "tls-server"
)

// fillName is the name in the i-th certificate.
func fillName(i int) string { return fmt.Sprintf("host%07d.million.example.com", i) }

// fillSerial is its serial, random to the eye.
func fillSerial(i int) *big.Int {
	sum := sha256.Sum256(fmt.Append(nil, "million", i))
	sum[0] = 0x40 | sum[0]&0x3f
	return new(big.Int).SetBytes(sum[:16])
}

// serveFill makes a data folder, and leaves it as if so many certificates had been asked
// for at the REST door over the last ninety days: by the product's own stores, with
// certificates that the authority really signed, and without the lints and commits of each.
func serveFill(data, certificates string) error {
	count, err := strconv.Atoi(certificates)
	if err != nil {
		return err
	}
	ctx := context.Background()
	c := config.Default()
	c.Data, c.Listen, c.Status = data, "127.0.0.1:0", "127.0.0.1:0"
	a, err := app.Open(ctx, app.Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	issuer, err := a.Authorities.Issuer(ctx, fillIssuer)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // what is done once a day is done before there is much to do
	if err := a.Close(); err != nil {
		return err
	}
	f, err := openEstate(ctx, data, issuer, count)
	if err != nil {
		return err
	}
	if err := f.all(ctx); err != nil {
		return err
	}
	if err := f.db.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(greeting{})
}

// estate writes the rows.
type estate struct {
	db        *storage.DB
	issuer    issuance.Issuer
	judge     inventory.Judge
	issuers   []*inventory.Certificate
	csr       []byte
	issued    *pkidb.Store
	seen      *inventorydb.Store
	lifecycle *lifecycledb.Store
	events    *eventdb.Store
	trail     *audit.Trail
	now       time.Time
	count     int
}

func openEstate(ctx context.Context, data string, issuer issuance.Issuer, count int) (*estate, error) {
	d, err := dir.Open(data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	root, err := d.RootKey()
	if err != nil {
		return nil, err
	}
	f := &estate{issuer: issuer, now: time.Now().UTC(), count: count}
	if f.db, err = storage.Open(ctx, storage.Config{Dir: data}); err != nil {
		return nil, err
	}
	// Nobody else has the file, and one that a crash leaves is thrown away.
	for _, pragma := range []string{"synchronous = OFF", "cache_size = -1500000", "wal_autocheckpoint = 50000"} {
		if _, err := f.db.Pool().ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, err
		}
	}
	chest, err := seal.OpenChest(ctx, root, settingsdb.New(f.db), "lifecycle")
	if err != nil {
		return nil, err
	}
	f.issued, f.seen, f.lifecycle, f.events = pkidb.New(f.db), inventorydb.New(f.db), lifecycledb.New(f.db, chest), eventdb.New(f.db)
	f.trail = audit.New(audit.Config{Store: auditdb.New(f.db), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	limits, err := policy.DefaultLimits()
	if err != nil {
		return nil, err
	}
	for _, der := range issuer.Chain {
		f.issuers = append(f.issuers, inventory.Parse(der))
	}
	anchors := policy.NewAnchors(policy.PublicRoots(), issuer.Chain[len(issuer.Chain)-1:])
	f.judge = policy.New(limits, func() *policy.Anchors { return anchors })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	f.csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: fillName(0)}, DNSNames: []string{fillName(0)}}, key)
	return f, err
}

// one is a certificate and what follows from it.
type one struct {
	n       int
	made    issuance.Certificate
	entry   *inventory.Certificate
	verdict inventory.Verdict
	revoked bool
}

// perCommit is how many certificates share a commit, and with it a row of the trail, as
// they do when many ask at the same time.
const perCommit = 50

func (f *estate) all(ctx context.Context) error {
	type batch struct {
		list []one
		err  error
	}
	batches := make(chan batch, 4)
	go func() {
		defer close(batches)
		for first := 0; first < f.count; first += perCommit {
			var b batch
			for i := first; i < min(f.count, first+perCommit) && b.err == nil; i++ {
				var x one
				x, b.err = f.sign(i)
				b.list = append(b.list, x)
			}
			batches <- b
		}
	}()
	begun, done := time.Now(), 0
	for b := range batches {
		if b.err != nil {
			return b.err
		}
		err := f.db.Transact(ctx, func(ctx context.Context) error {
			for _, x := range b.list {
				if err := f.write(ctx, x); err != nil {
					return fmt.Errorf("certificate %d: %w", x.n, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if done += len(b.list); done%50_000 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d certificates after %.0f s\n", done, f.count, time.Since(begun).Seconds())
		}
	}
	return nil
}

// sign makes the i-th certificate. They are as old as ninety days, evenly.
func (f *estate) sign(i int) (one, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return one{}, err
	}
	at := f.now.Add(-fillLife + 24*time.Hour + time.Duration(float64(fillLife-24*time.Hour)*float64(i)/float64(f.count))).Truncate(time.Microsecond)
	from := at.Truncate(time.Second)
	serial := fillSerial(i)
	ski := sha256.Sum256(serial.Bytes())
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fillName(i)}, DNSNames: []string{fillName(i)}, NotBefore: from, NotAfter: from.Add(fillLife - time.Second),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, SubjectKeyId: ski[:20],
		OCSPServer: []string{"http://localhost:8444/ocsp/issuing"}, IssuingCertificateURL: []string{"http://localhost:8444/ca/issuing.cer"},
		CRLDistributionPoints: []string{"http://localhost:8444/crl/issuing.crl"},
	}, f.issuer.Certificate, &key.PublicKey, f.issuer.Signer)
	if err != nil {
		return one{}, err
	}
	x := one{n: i, entry: inventory.Parse(der), revoked: i%revokedEvery == revokedEvery/2}
	var revokedAt time.Time
	if x.revoked {
		revokedAt = at.Add(time.Hour)
	}
	x.verdict = f.judge.Judge(inventory.Case{Certificate: x.entry, Issuers: f.issuers, RevokedAt: revokedAt, Now: f.now})
	x.made = issuance.Certificate{
		Authority: fillIssuer, Serial: issuance.FormatSerial(serial), SHA256: x.entry.SHA256, Request: uuid.NewV7().String(), Profile: fillProfile, Subject: "CN=" + fillName(i),
		Names: profile.Names{DNS: []string{fillName(i)}}, KeySHA256: x.entry.SPKI, NotBefore: from, NotAfter: from.Add(fillLife - time.Second),
		TBS: []byte{1}, DER: der, CreatedAt: at, IssuedAt: at, Requester: "11111111-2222-3333-4444-555555555555",
	}
	return x, nil
}

// write stores what an issuance leaves behind.
func (f *estate) write(ctx context.Context, x one) error {
	if err := f.issued.Intend(ctx, x.made); err != nil {
		return err
	}
	if err := f.issued.Finish(ctx, x.made); err != nil {
		return err
	}
	e := f.request(x)
	if x.n%managedEvery == 0 {
		if err := f.line(ctx, x, &e); err != nil {
			return err
		}
	}
	if err := f.lifecycle.InsertRequest(ctx, e); err != nil {
		return err
	}
	if err := f.know(ctx, x, e); err != nil {
		return err
	}
	if err := f.tell(ctx, x, e); err != nil {
		return err
	}
	if !x.revoked {
		return nil
	}
	at := x.made.CreatedAt.Add(time.Hour)
	if _, _, err := f.issued.Revoke(ctx, revocation.Revocation{Authority: fillIssuer, Serial: x.made.Serial, Reason: "superseded", At: at}); err != nil {
		return err
	}
	return f.seen.SetRevoked(ctx, x.made.SHA256, at, "superseded")
}

// request is the request that the certificate answers.
func (f *estate) request(x one) enrollment.Entry {
	c := x.made
	e := enrollment.Entry{
		Request: enrollment.Request{
			ID: c.Request, Kind: enrollment.Direct, State: enrollment.Completed, Step: enrollment.Record, Requester: c.Requester, RequesterName: "bench", Door: "rest",
			Wanted:  lineage.Wanted{Name: fillName(x.n), Profile: fillProfile, Authority: fillIssuer, CommonName: fillName(x.n), Names: c.Names, Key: "P-256"},
			Result:  lineage.Certificate{SHA256: c.SHA256, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Request: c.Request},
			Created: c.CreatedAt, Updated: c.CreatedAt, Revision: 1,
		},
		Once: c.Request,
	}
	e.CSR, e.Certificate, e.Chain, e.Signer = f.csr, c.DER, f.issuer.Chain[:1], fillIssuer
	return e
}

// line makes the lineage of a managed certificate. None is due today.
func (f *estate) line(ctx context.Context, x one, e *enrollment.Entry) error {
	due := x.made.NotAfter.Add(-30 * 24 * time.Hour)
	if due.Before(f.now.Add(24 * time.Hour)) {
		due = f.now.Add(48 * time.Hour)
	}
	e.Wanted.Owner = fmt.Sprintf("team %02d", x.n/managedEvery%100)
	e.Wanted.Keep, e.Wanted.Rule = lineage.Keep{Vault: "default", Name: fmt.Sprintf("host%07d", x.n)}, lineage.Rule{DaysBefore: 30}
	e.Kind, e.Lineage, e.Door = enrollment.Enroll, uuid.NewV7().String(), ""
	l := lineage.Lineage{
		ID: e.Lineage, Wanted: e.Wanted, Targets: []lineage.Target{}, Current: e.Result, Due: due, Created: e.Created, Updated: e.Updated, Revision: 1,
	}
	if err := f.lifecycle.InsertLineage(ctx, l); err != nil {
		return err
	}
	return f.lifecycle.AddMember(ctx, l.ID, lineage.Member{Certificate: e.Result, Since: e.Created})
}

// know puts the certificate into the inventory, with what the policy says of it.
func (f *estate) know(ctx context.Context, x one, e enrollment.Entry) error {
	if _, err := f.seen.Save(ctx, x.entry, x.made.CreatedAt); err != nil {
		return err
	}
	if x.n%5 == 0 { // a fifth of them was seen by a scan
		place := inventory.Place{Source: inventory.Network, Host: fillName(x.n), IP: fmt.Sprintf("10.%d.%d.%d", x.n>>16&255, x.n>>8&255, x.n&255), Port: 443, SNI: fillName(x.n)}
		err := f.seen.SaveInstallation(ctx, inventory.Installation{
			ID: place.ID(), SHA256: x.made.SHA256, Place: place, State: inventory.Present, Current: true, FirstSeen: x.made.CreatedAt, LastSeen: f.now, Checked: f.now,
		})
		if err != nil {
			return err
		}
		if _, err := f.seen.Save(ctx, x.entry, f.now); err != nil {
			return err
		}
	}
	if e.Lineage != "" {
		if err := f.seen.SetLineage(ctx, x.made.SHA256, e.Lineage, e.Wanted.Owner, inventory.Managed); err != nil {
			return err
		}
	}
	return f.seen.SaveVerdict(ctx, x.made.SHA256, x.verdict, f.now)
}

// tell writes events, records, and the finished job that carried the events.
func (f *estate) tell(ctx context.Context, x one, e enrollment.Entry) error {
	who := access.Caller{Principal: x.made.Requester, Name: "bench"}
	for _, operation := range []string{"CertificateIntend", "CertificateIssue", "RequestEnroll", "ObservationRecord"} {
		r := who.Record(operation, x.made.Target())
		r.Time = x.made.CreatedAt
		r.Details[audit.Serial], r.Details[audit.Issuer], r.Details[audit.Profile] = x.made.Serial, fillIssuer, fillProfile
		r.Details[audit.Fingerprint], r.Details[audit.Request], r.Details[audit.Subject] = x.made.SHA256, e.ID, x.made.Subject
		if err := f.trail.Record(ctx, r); err != nil {
			return err
		}
	}
	data, err := json.Marshal(map[string]any{
		"sha256": x.made.SHA256, "serial": x.made.Serial, "authority": fillIssuer, "profile": fillProfile, "subject": x.made.Subject, "notAfter": x.made.NotAfter, "request": e.ID,
	})
	if err != nil {
		return err
	}
	var first string
	for _, v := range []event.Event{
		{Source: "/authorities/" + fillIssuer, Type: "Chatelaine.CertificateIssued", Subject: x.made.Serial},
		{Source: "/requests", Type: "Chatelaine.RequestCompleted", Subject: e.ID},
		{Source: "/certificates", Type: "Chatelaine.CertificateDiscovered", Subject: x.made.SHA256},
	} {
		v.ID, v.Time, v.Data = uuid.NewV7().String(), x.made.CreatedAt, data
		first = v.ID
		if err := f.events.Append(ctx, v); err != nil {
			return err
		}
	}
	// As if all had been asked for since yesterday: the queue keeps what is done for two days.
	at := f.now.Add(-24 * time.Hour * time.Duration(f.count-x.n) / time.Duration(f.count)).Format("2006-01-02 15:04:05.000")
	_, err = f.db.Exec(ctx, `INSERT INTO river_job (args, attempt, attempted_at, attempted_by, created_at, finalized_at, kind, max_attempts, scheduled_at, state)
		VALUES (jsonb($1), 1, $2, jsonb('["bench"]'), $2, $2, 'event.deliver', 25, $2, 'completed')`, fmt.Sprintf(`{"event":%q,"subscriber":"inventory.issued"}`, first), at)
	return err
}
