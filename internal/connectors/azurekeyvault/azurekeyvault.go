// Package azurekeyvault speaks to Azure Key Vault, and to everything that speaks its API,
// another Chatelaine among them, through Microsoft's own SDK. As a source it finds every
// certificate and version of a vault.
package azurekeyvault

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

//go:embed README.md
var readme string

// Definition describes the connector.
func Definition() connector.Definition {
	return connector.Definition{
		Name:   "azurekeyvault",
		Title:  "Azure Key Vault",
		Readme: readme,
		Config: Config{},
		Source: connector.New(newSource),
	}
}

// Config is one vault and the application that reads it.
type Config struct {
	URL                      string           `json:"url" help:"Address of the vault, such as https://payroll.vault.azure.net." required:"true" anchor:"true"`
	Tenant                   string           `json:"tenant" help:"Directory (tenant) id of the application; adfs for a Chatelaine." required:"true" anchor:"true"`
	ClientID                 string           `json:"clientId" help:"Application (client) id." required:"true"`
	ClientSecret             connector.Secret `json:"clientSecret" help:"Client secret of the application." required:"true"`
	Authority                string           `json:"authority" help:"Host that gives tokens; https://login.microsoftonline.com/ when empty." anchor:"true"`
	DisableInstanceDiscovery bool             `json:"disableInstanceDiscovery" help:"Do not ask Microsoft whether the authority is known; for disconnected clouds."`
	CA                       string           `json:"ca" help:"Certificates (PEM) of private authorities to trust besides the system's, for vaults and authorities on premises."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	if err := checkAddress("url", c.URL); err != nil {
		return err
	}
	if c.Authority != "" {
		return checkAddress("authority", c.Authority)
	}
	return nil
}

// checkAddress wants https and a host alone: the SDK refuses to send a token elsewhere.
func checkAddress(name, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("setting %q: want https://host or https://host:port", name)
	}
	return nil
}

// newClient makes the SDK's client. The SDK itself waits and asks again, as Retry-After
// says, when the vault is busy; every call here only reads.
func newClient(c Config, e connector.Env) (*azcertificates.Client, error) {
	trust, err := connector.TrustTLS(c.CA)
	if err != nil {
		return nil, err
	}
	options := azcore.ClientOptions{Transport: e.Client(trust)}
	if c.Authority != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: c.Authority}
	}
	credential, err := azidentity.NewClientSecretCredential(c.Tenant, c.ClientID, string(c.ClientSecret.Reveal()), &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            options,
		DisableInstanceDiscovery: c.DisableInstanceDiscovery,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "InvalidSettings", `the settings "tenant" and "authority" do not name a directory`)
	}
	client, err := azcertificates.NewClient(strings.TrimRight(c.URL, "/"), credential, &azcertificates.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "InvalidSettings", `the setting "url" does not name a vault`)
	}
	return client, nil
}

// classify gives an error of the SDK its kind. The SDK's text, which repeats the answer,
// stays with the operator.
func classify(err error) error {
	var answer *azcore.ResponseError
	var refused *azidentity.AuthenticationFailedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "Canceled", "the vault was not asked to the end")
	case errors.As(err, &refused):
		return fault.Wrap(err, fault.Denied, "CredentialsRefused", "the authority refused the application; check tenant, client id and client secret")
	case errors.As(err, &answer):
		return fault.Wrap(err, kindOf(answer.StatusCode), answer.ErrorCode, fmt.Sprintf("the vault answered %d %s", answer.StatusCode, answer.ErrorCode))
	}
	return fault.Wrap(err, fault.Unavailable, "VaultUnreachable", "the vault or its authority cannot be reached; check address, network and trusted authorities")
}

func kindOf(status int) fault.Kind {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.Denied
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusConflict:
		return fault.Conflict
	case status == http.StatusTooManyRequests:
		return fault.Limited
	case status >= 500:
		return fault.Unavailable
	}
	return fault.Invalid
}
