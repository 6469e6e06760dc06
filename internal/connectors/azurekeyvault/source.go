package azurekeyvault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// Bounds against a vault that never ends. Key Vault has no limit of its own.
const (
	maxPages = 100_000 // of at most 25 entries
	maxText  = 1 << 10 // of a label
	maxTags  = 100
)

type source struct{ client *azcertificates.Client }

func newSource(c Config, e connector.Env) (connector.Source, error) {
	client, err := newClient(c, e)
	if err != nil {
		return nil, err
	}
	return &source{client}, nil
}

// Check reads the first page of the list.
func (s *source) Check(ctx context.Context) error {
	_, err := s.client.NewListCertificatePropertiesPager(nil).NextPage(ctx)
	return classify(err)
}

// Discover reads every version of every certificate. The list holds no certificate
// itself, so each version costs one more call.
func (s *source) Discover(ctx context.Context, yield func(connector.Found) error) error {
	names := s.client.NewListCertificatePropertiesPager(nil)
	return eachPage(ctx, names, func(page azcertificates.ListCertificatePropertiesResponse) error {
		return each(page.Value, func(id identity, _ *azcertificates.CertificateProperties) error {
			return s.versions(ctx, id.name, yield)
		})
	})
}

func (s *source) versions(ctx context.Context, name string, yield func(connector.Found) error) error {
	versions := s.client.NewListCertificatePropertiesVersionsPager(name, nil)
	return eachPage(ctx, versions, func(page azcertificates.ListCertificatePropertiesVersionsResponse) error {
		return each(page.Value, func(id identity, p *azcertificates.CertificateProperties) error {
			f := connector.Found{Location: id.url, Name: id.name, Version: id.version, Labels: labels(p.Tags)}
			f.Enabled = p.Attributes != nil && p.Attributes.Enabled != nil && *p.Attributes.Enabled
			if err := s.read(ctx, id, &f); err != nil {
				return err
			}
			return yield(f)
		})
	})
}

// read fills in the certificate, or the problem of this one version. A vault refuses
// reading one version that is disabled or gone meanwhile; that ends nothing.
func (s *source) read(ctx context.Context, id identity, f *connector.Found) error {
	c, err := s.client.GetCertificate(ctx, id.name, id.version, nil)
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusNotFound):
		f.Problem = fault.Of(classify(err)).Message
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", id.url, classify(err))
	case len(c.CER) == 0:
		f.Problem = "the version holds no certificate yet"
		return nil
	}
	f.Certificate = c.CER
	if c.KID != nil {
		f.Key = string(*c.KID)
	}
	return nil
}

// eachPage calls do with every page.
func eachPage[P any](ctx context.Context, pager *runtime.Pager[P], do func(P) error) error {
	for range maxPages {
		if !pager.More() {
			return nil
		}
		page, err := pager.NextPage(ctx)
		if err != nil {
			return classify(err)
		}
		if err := do(page); err != nil {
			return err
		}
	}
	return fault.New(fault.Limited, "TooManyPages", "the vault's list does not end after %d pages", maxPages)
}

// each calls do with every entry of a page.
func each(entries []*azcertificates.CertificateProperties, do func(identity, *azcertificates.CertificateProperties) error) error {
	for _, e := range entries {
		if e == nil || e.ID == nil {
			return fault.New(fault.Unavailable, "UnreadableAnswer", "the vault lists a certificate without an id")
		}
		id, err := parseIdentity(string(*e.ID))
		if err != nil {
			return err
		}
		if err := do(id, e); err != nil {
			return err
		}
	}
	return nil
}

// identity is the parts of https://vault/certificates/name/version.
type identity struct{ url, name, version string }

// parseIdentity does what the SDK's ID does, which panics on an id of another shape.
func parseIdentity(s string) (identity, error) {
	u, err := url.Parse(s)
	if err == nil {
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		if (len(parts) == 2 || len(parts) == 3) && parts[0] == "certificates" && parts[1] != "" {
			return identity{s, parts[1], strings.Join(parts[2:], "")}, nil
		}
	}
	return identity{}, fault.New(fault.Unavailable, "UnreadableAnswer", "the vault lists a certificate under an id of another shape")
}

func labels(tags map[string]*string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := map[string]string{}
	for k, v := range tags {
		if v != nil && len(k) <= maxText && len(*v) <= maxText && len(m) < maxTags {
			m[k] = *v
		}
	}
	return m
}
