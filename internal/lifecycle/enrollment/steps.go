package enrollment

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/keystore"
)

// The steps of enroll and renew. Each may be repeated: what it does outside the
// database is the same when it is done twice.

// makeKey makes the private key and the CSR. Killed before they are noted, it makes
// others, and nobody has seen the first.
func (r *runner) makeKey(ctx context.Context) (outcome, error) {
	spec, err := r.e.Wanted.KeySpec()
	if err != nil {
		return outcome{}, err
	}
	material, _, err := r.Keystore.Generate(ctx, spec)
	if err != nil {
		return outcome{}, fmt.Errorf("make the key: %w", err)
	}
	private, err := keystore.OpenSigner(ctx, r.Keystore, material)
	if err != nil {
		return outcome{}, fmt.Errorf("make the key: %w", err)
	}
	o := r.to(Issue)
	o.next.Key = material
	o.next.CSR, err = request(r.e.Wanted, private)
	return o, err
}

// request makes the CSR (RFC 2986).
func request(w lineage.Wanted, key crypto.Signer) ([]byte, error) {
	t := x509.CertificateRequest{Subject: pkix.Name{CommonName: w.CommonName}, DNSNames: w.Names.DNS, EmailAddresses: w.Names.Email}
	for _, text := range w.Names.IP {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, fault.New(fault.Invalid, "BadName", "%.64q is no IP address", text)
		}
		t.IPAddresses = append(t.IPAddresses, ip)
	}
	for _, text := range w.Names.URI {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "BadName", "%.64q is no URI", text)
		}
		t.URIs = append(t.URIs, u)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &t, key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadName", "the names do not fit into a certificate request")
	}
	return der, nil
}

// issue places the order, or asks what became of it, and checks what came back. The
// issuer knows the order by the request's id, so a second call places no second one.
func (r *runner) issue(ctx context.Context) (outcome, error) {
	issuer, err := r.Issuers.Issuer(ctx, r.e.Wanted.Authority)
	if err != nil {
		return outcome{}, err
	}
	var a connector.Answer
	own, ours := issuer.(Own)
	switch {
	case r.e.Token != "":
		a, err = issuer.Collect(ctx, r.e.Token)
	case ours && r.e.Kind == Direct:
		a, err = r.certify(ctx, own)
	default:
		a, err = issuer.Issue(ctx, connector.Order{
			ID: r.e.ID, CSR: r.e.CSR, Profile: r.e.Wanted.Profile, Validity: time.Duration(r.e.Wanted.Validity), Replaces: r.e.Replaces,
		})
	}
	if err != nil {
		return outcome{}, fmt.Errorf("ask the issuer: %w", err)
	}
	if a.Pending != nil {
		if len(a.Pending.Token) == 0 || len(a.Pending.Token) > maxToken {
			return outcome{}, fault.New(fault.Invalid, "BadAnswer", "the issuer gave no usable token for a pending order")
		}
		return r.pending(*a.Pending), nil
	}
	var fixed profile.Names
	if ours {
		fixed = r.fixed(r.e.Wanted.Profile)
	}
	leaf, err := checkAnswer(r.e, a, fixed, r.Now())
	if err != nil {
		return outcome{}, err
	}
	sum := sha256.Sum256(leaf.Raw)
	next := map[Kind]Step{Certify: Deliver, Direct: Record}[r.e.Kind]
	if next == "" {
		next = Keep
	}
	o := r.to(next)
	o.next.Token, o.next.Certificate, o.next.Chain = "", a.Certificate, a.Chain
	o.next.Result = lineage.Certificate{
		SHA256: hex.EncodeToString(sum[:]), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Request: r.e.ID,
	}
	o.event = "Chatelaine.RequestIssued"
	return o, nil
}

const maxToken = 1 << 10

// keep puts key and certificate into the vault. The vault then has the only copy of the key.
func (r *runner) keep(ctx context.Context) (outcome, error) {
	key, err := r.pkcs8(ctx)
	if err != nil {
		return outcome{}, err
	}
	version, err := r.Vault.Keep(ctx, r.caller(), r.e.Wanted.Keep, connector.Bundle{Certificate: r.e.Certificate, Chain: r.e.Chain, Key: key})
	if err != nil {
		return outcome{}, fmt.Errorf("put the certificate into vault %s: %w", r.e.Wanted.Keep.Vault, err)
	}
	o := r.to(Record)
	o.next.Result.Version, o.next.Key = version, nil
	return o, nil
}

func (r *runner) pkcs8(ctx context.Context) (connector.Secret, error) {
	private, err := r.Keystore.Open(ctx, r.e.Key)
	if err != nil {
		return connector.Secret{}, err
	}
	exporter, ok := private.(keystore.Exporter)
	if !ok {
		return connector.Secret{}, fault.New(fault.Invalid, "KeyNotExportable", "the keystore %s does not give up its keys", r.Keystore.Name())
	}
	key, err := exporter.Export()
	if err != nil {
		return connector.Secret{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return connector.NewSecret(der), err
}

// record tells the inventory of the certificate, where it is kept and whose it is.
func (r *runner) record(ctx context.Context) (outcome, error) {
	if r.e.Kind == Direct {
		return r.recordDirect(ctx)
	}
	k, now := r.e.Wanted.Keep, r.Now()
	_, err := r.Inventory.Record(ctx, r.caller(), []inventory.Observation{{
		Place: inventory.Place{Source: "vault/" + k.Vault, Path: "certificates/" + strings.ToLower(k.Name)},
		State: inventory.Present, DER: r.e.Certificate, Chain: r.e.Chain, At: now,
		Object: &inventory.Object{Name: k.Name, Version: r.e.Result.Version, Enabled: true, Key: "keys/" + k.Name + "/" + r.e.Result.Version},
	}})
	if err != nil {
		return outcome{}, fmt.Errorf("tell the inventory: %w", err)
	}
	o := r.to(Deploy)
	if r.e.Kind == Certify {
		return r.finish(o), nil
	}
	o.also = func(ctx context.Context) error {
		return r.Inventory.SetLineage(ctx, r.e.Result.SHA256, r.e.Lineage, r.e.Wanted.Owner)
	}
	return o, nil
}

// deploy installs the certificate at one target after the other: where the first fails,
// the others are not touched.
func (r *runner) deploy(ctx context.Context) (outcome, error) {
	begun, err := r.Deployments.OfRequest(ctx, r.e.ID)
	if err != nil {
		return outcome{}, err
	}
	of := map[string]deployment.Deployment{}
	for _, d := range begun {
		of[d.Target.ID] = d
	}
	for _, t := range r.e.Targets {
		d, there := of[t.ID]
		switch {
		case !there:
			o := outcome{next: r.begun(), waits: true}
			o.also = func(ctx context.Context) error {
				_, err := r.Deployments.Start(ctx, r.caller(), deployment.Order{
					Request: r.e.ID, Lineage: r.e.Lineage, Target: t, Keep: r.e.Wanted.Keep, Version: r.e.Result.Version, SHA256: r.e.Result.SHA256,
				})
				return err
			}
			return o, nil
		case d.State.Live():
			return outcome{idle: true}, nil
		case d.State != deployment.Completed:
			return outcome{}, fault.New(fault.Conflict, "DeploymentFailed", "the deployment to target %s failed at stage %s: %s", t.ID, d.Failed, d.Problem)
		}
	}
	return r.to(Retire), nil
}

// retire makes the certificate the current one of its lineage.
func (r *runner) retire() (outcome, error) {
	o := outcome{next: r.begun(), event: "Chatelaine.RequestCompleted"}
	o.next.State = Completed
	o.also = func(ctx context.Context) error {
		l, err := r.Lineages.Lineage(ctx, r.e.Lineage)
		if err != nil {
			return err
		}
		l.Succeed(r.e.Result, r.Now())
		if err := r.Lineages.UpdateLineage(ctx, l); err != nil {
			return err
		}
		if err := r.Lineages.AddMember(ctx, l.ID, lineage.Member{Certificate: r.e.Result, Since: r.Now()}); err != nil {
			return err
		}
		if err := r.Inventory.SetLineage(ctx, r.e.Result.SHA256, l.ID, l.Owner); err != nil { // who may be another by now
			return err
		}
		rec := r.caller().Record("LineageAdvance", lineage.Path(l.ID))
		return r.tell(ctx, rec, "Chatelaine.CertificateRenewed", o.next.Request)
	}
	return o, nil
}
