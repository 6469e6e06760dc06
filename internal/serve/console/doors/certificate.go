package doors

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// door is what records call these forms.
const door = "console"

// csrForm asks for a CSR.
func (a *Area) csrForm(v Visit) (page.Form, profile.Profile, error) {
	e, err := a.Profiles.Entry(v.Context(), v.Caller(), v.Path("name"))
	x := e.Profile
	f := page.Form{
		Crumbs: a.crumbs(x.Name), Title: "A certificate from a CSR", Action: formPath(x.Name, "csr"), Submit: "Ask for the certificate", Cancel: home,
		Lead:    "The key stays where the CSR was made. The names are those of the CSR, and the profile says which of them it takes.",
		Preview: about(x),
		Fields: []page.Field{
			{Name: "csr", Label: "CSR, in PEM", Kind: "lines", Hint: "-----BEGIN CERTIFICATE REQUEST-----", Required: true},
			daysField(x), ownerField(),
		},
	}
	return f, x, err
}

// about says what a profile gives.
func about(x profile.Profile) []page.Prop {
	p := []page.Prop{{Name: "Profile", Link: view.Link{Text: view.Or(view.Clean(x.Title), x.Name), Href: "/profiles/" + url.PathEscape(x.Name)}}, {Name: "Keys", Text: strings.Join(x.Keys, ", ")}}
	if x.Approval {
		p = append(p, page.Prop{Name: "Approval", Text: "a person agrees first; the certificate is collected from the request then"})
	}
	return p
}

func daysField(x profile.Profile) page.Field {
	return page.Field{Name: "days", Label: "Valid for how many days", Kind: "number", Help: "Empty: " + x.Validity.Default.String() + ". At most " + x.Validity.Max.String() + "."}
}

func ownerField() page.Field {
	return page.Field{Name: "owner", Label: "Application or team", Help: "Who answers for it."}
}

func (a *Area) askCSR(v Visit) error {
	f, _, err := a.csrForm(v)
	if err != nil {
		return err
	}
	return v.Show(f.Title, home, f.Show)
}

// enroll asks for a certificate, and goes to where it can be collected or awaited.
func (a *Area) enroll(v Visit) error {
	f, x, err := a.csrForm(v)
	if err != nil {
		return err
	}
	validity, err := days(v.Form("days"))
	if err != nil {
		return v.Again(f, err)
	}
	block, rest := pem.Decode([]byte(v.Form("csr")))
	if block == nil || !strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") || len(bytes.TrimSpace(rest)) > 0 {
		return v.Again(f, fault.New(fault.Invalid, "BadCSR", "This is not one CSR in PEM; paste it from -----BEGIN to -----END, with both lines."))
	}
	made, err := a.Requests.Enroll(v.Context(), v.Caller(), enrollment.Ask{Door: door, Profile: x.Name, CSR: block.Bytes, Validity: validity, Owner: v.Form("owner")})
	if err != nil {
		return v.Again(f, err)
	}
	if made.State != enrollment.Completed {
		return v.GoTo(requestPath(made.Request) + "?did=asked")
	}
	return v.GoTo(requestPath(made.Request) + "/certificate")
}

// days reads how long a certificate is wanted for; 0 means as the profile says.
func days(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 36500 {
		return 0, fault.New(fault.Invalid, "BadValidity", "Say how many days, 1 or more, or leave the field empty.")
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func requestPath(id string) string { return "/requests/" + url.PathEscape(id) }

// formats are the files that a key can be saved in, with their media types.
func formats() map[enrollment.Format]string {
	return map[enrollment.Format]string{enrollment.PFX: "application/x-pkcs12", enrollment.PEM: "application/x-pem-file", enrollment.JKS: "application/octet-stream"}
}

// makeable are the keys of a profile that can be made for somebody.
func makeable(x profile.Profile) []string {
	var keys []string
	for _, k := range x.Keys {
		if !strings.HasPrefix(k, "ML-DSA") {
			keys = append(keys, k)
		}
	}
	return keys
}

// keyForm asks for what a key and a certificate are for.
func (a *Area) keyForm(v Visit) (page.Form, profile.Profile, error) {
	e, err := a.Profiles.Entry(v.Context(), v.Caller(), v.Path("name"))
	x := e.Profile
	var keys []page.Option
	for _, k := range makeable(x) {
		keys = append(keys, page.Option{Value: k, Text: k})
	}
	first := "P-256"
	if !slices.Contains(x.Keys, first) && len(keys) > 0 {
		first = keys[0].Value
	}
	f := page.Form{
		Crumbs: a.crumbs(x.Name), Title: "A certificate with a new key", Action: formPath(x.Name, "key"), Submit: "Make and save the file", Cancel: home, Saves: true,
		Lead:    "The key is made here, is in the file that your browser saves, and is kept nowhere else. Where you can, make the key on the machine that uses it and send a CSR.",
		Preview: about(x),
		Fields: []page.Field{
			{Name: "names", Label: "Names", Kind: "lines", Help: "One a line: www.example.com, 10.1.2.3, ada@example.com or spiffe://example.com/web.", Hint: "www.example.com"},
			{Name: "common", Label: "Common name", Help: "Only where a client wants one."},
			{Name: "key", Label: "Key", Kind: "choice", Value: first, Options: keys, Required: true},
			{Name: "format", Label: "File", Kind: "choice", Value: string(enrollment.PFX), Required: true, Options: []page.Option{
				{Value: string(enrollment.PFX), Text: "PFX (PKCS #12), for Windows, Java and most else"}, {Value: string(enrollment.PEM), Text: "PEM, without a password"}, {Value: string(enrollment.JKS), Text: "JKS, for Java before 9"}}},
			{Name: "password", Label: "Password of the file", Kind: "secret", Help: "8 characters at least, for PFX and JKS. You type it again where the file is installed."},
			daysField(x), ownerField(),
		},
	}
	return f, x, err
}

func (a *Area) askKey(v Visit) error {
	f, _, err := a.keyForm(v)
	if err != nil {
		return err
	}
	return v.Show(f.Title, home, f.Show)
}

// generate answers with the file itself: it is never on the server's disk.
func (a *Area) generate(v Visit) error {
	f, x, err := a.keyForm(v)
	if err != nil {
		return err
	}
	validity, err := days(v.Form("days"))
	if err != nil {
		return v.Again(f, err)
	}
	names := namesOf(lines(v.Form("names")))
	format := enrollment.Format(v.Form("format"))
	made, err := a.Requests.Generate(v.Context(), v.Caller(), enrollment.Making{
		Ask: enrollment.Ask{Door: door, Profile: x.Name, CommonName: v.Form("common"), Names: names, Validity: validity, Owner: v.Form("owner")},
		Key: v.Form("key"), Format: format, Password: access.NewSecret(v.Form("password")),
	})
	if err != nil {
		return v.Again(f, err)
	}
	return v.Save(fileName(made.Certificate)+"."+string(format), formats()[format], []byte(made.Bundle.Reveal()))
}

// namesOf sorts what was typed by its kind. What is none is refused as a DNS name.
func namesOf(list []string) profile.Names {
	var n profile.Names
	for _, x := range list {
		_, err := netip.ParseAddr(x)
		switch {
		case err == nil:
			n.IP = append(n.IP, x)
		case strings.Contains(x, "://"):
			n.URI = append(n.URI, x)
		case strings.Contains(x, "@"):
			n.Email = append(n.Email, x)
		default:
			n.DNS = append(n.DNS, x)
		}
	}
	return n
}

// fileName is the name of a certificate that every file system takes.
func fileName(der []byte) string {
	name := "certificate"
	if c, err := x509.ParseCertificate(der); err == nil {
		name = view.Or(c.Subject.CommonName, name)
		if len(c.DNSNames) > 0 {
			name = c.DNSNames[0]
		}
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, name[:min(len(name), 100)])
}

// collect shows a certificate that was asked for; who comes too early is led to the request.
func (a *Area) collect(v Visit) error {
	made, err := a.Requests.Collect(v.Context(), v.Caller(), v.Path("id"))
	if err != nil {
		return err
	}
	if made.State != enrollment.Completed {
		return v.GoTo(requestPath(made.Request))
	}
	leaf, err := x509.ParseCertificate(made.Certificate)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(leaf.Raw)
	name := fileName(leaf.Raw)
	p := page.Collected{
		Title: "The certificate of " + name, Crumbs: []view.Link{{Text: "Requests", Href: "/requests"}, {Text: "Request", Href: requestPath(made.Request)}},
		PEM: chain(made), File: requestPath(made.Request) + "/certificate/chain.pem", Name: name + ".pem",
		Props: []page.Prop{
			{Name: "Subject", Text: view.Or(view.Clean(leaf.Subject.String()), "empty")}, {Name: "Names", List: view.CleanAll(namesIn(leaf), 20)},
			{Name: "Issued by", Text: made.Authority}, {Name: "Serial", Text: issuance.FormatSerial(leaf.SerialNumber), Mono: true},
			{Name: "Valid until", Text: view.Minute(leaf.NotAfter)}, {Name: "SHA-256", Link: view.Link{Text: hex.EncodeToString(sum[:]), Href: "/certificates/" + hex.EncodeToString(sum[:])}, Mono: true},
		},
	}
	return v.Show(p.Title, home, p.Show)
}

func namesIn(c *x509.Certificate) []string {
	names := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

func chain(made enrollment.Enrolled) string {
	var b strings.Builder
	for _, der := range append([][]byte{made.Certificate}, made.Chain...) {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.String()
}

func (a *Area) collectFile(v Visit) error {
	made, err := a.Requests.Collect(v.Context(), v.Caller(), v.Path("id"))
	if err != nil {
		return err
	}
	if made.State != enrollment.Completed {
		return v.GoTo(requestPath(made.Request))
	}
	return v.Save(fileName(made.Certificate)+".pem", "application/x-pem-file", []byte(chain(made)))
}
