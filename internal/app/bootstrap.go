package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/dir"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/object"
)

// The vaults that a first start makes.
const (
	firstVault = "default"
	firstHSM   = "hsm"
)

// bootstrap makes what a first start needs and a later one keeps: the vault "default",
// the managed HSM "hsm", the first administrator, DIR/bootstrap/root.pem and admin.env; and the sign-in link of
// this start.
func (a *App) bootstrap(ctx context.Context, l listeners) error {
	system := access.System("bootstrap")
	if _, err := a.Vaults.Create(ctx, system, firstVault, object.Settings{}); err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	der, err := a.Authorities.Certificate(ctx, rootAuthority)
	if err != nil {
		return err
	}
	if err := dir.WriteFile(a.dir.File("bootstrap", "root.pem"), certificatePEM(der), 0o600); err != nil {
		return err
	}
	wrote := false
	admin, made, err := a.Directory.EnsureAdministrator(ctx, func(first directory.Administrator) error {
		wrote = true
		return a.writeEnvironment(l, map[string]string{
			"AZURE_CLIENT_ID": first.ClientID, "AZURE_CLIENT_SECRET": first.Secret.Reveal(), "IDENTITY_HEADER": first.Header.Reveal(),
		})
	})
	if err != nil {
		return err
	}
	if wrote && !made { // another node made the administrator; its folder has the credentials
		if err := os.Remove(a.environmentFile()); err != nil {
			return err
		}
	}
	if !made { // the ports may be others than last time; the credentials are not
		kept, err := a.readEnvironment()
		if err == nil {
			err = a.writeEnvironment(l, kept)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // an operator may have moved it away
			return err
		}
	}
	if err := a.bootstrapHSM(ctx, system, admin.ID); err != nil {
		return err
	}
	link, err := a.sessions.CreateLink(ctx, system, admin.ID)
	if err != nil {
		return err
	}
	a.link = a.base(a.cfg.Domain, l) + "/sign-in?token=" + link.Token.Reveal()
	return nil
}

// bootstrapHSM makes the first HSM. Whoever makes an HSM is its Administrator; the first
// administrator of all may use its keys too, as those of the first vault.
func (a *App) bootstrapHSM(ctx context.Context, system access.Caller, admin string) error {
	_, err := a.Vaults.Create(ctx, system, firstHSM, object.Settings{Kind: object.ManagedHSM})
	if err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	err = a.Roles.EnsureAdministrator(ctx, system, firstHSM, admin, role.CryptoOfficer, role.CryptoUser)
	if fault.Is(err, fault.NotFound) { // somebody has deleted the HSM, or made a vault of that name
		return nil
	}
	return err
}

func (a *App) environmentFile() string { return a.dir.File("bootstrap", "admin.env") }

// readEnvironment returns the credentials of admin.env.
func (a *App) readEnvironment() (map[string]string, error) {
	b, err := os.ReadFile(filepath.Clean(a.environmentFile()))
	if err != nil {
		return nil, err
	}
	kept := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok {
			kept[name] = value
		}
	}
	return kept, nil
}

// writeEnvironment writes admin.env: what an unmodified DefaultAzureCredential needs
// (contract §2.1.1 says why the tenant is called adfs), and our own addresses.
func (a *App) writeEnvironment(l listeners, credentials map[string]string) error {
	root, err := filepath.Abs(a.dir.File("bootstrap", "root.pem"))
	if err != nil {
		return err
	}
	url := a.base(a.cfg.Domain, l)
	var b strings.Builder
	for _, v := range [][2]string{
		{"AZURE_TENANT_ID", "adfs"},
		{"AZURE_CLIENT_ID", credentials["AZURE_CLIENT_ID"]},
		{"AZURE_CLIENT_SECRET", credentials["AZURE_CLIENT_SECRET"]},
		{"AZURE_AUTHORITY_HOST", url + "/"},
		{"IDENTITY_ENDPOINT", url + "/msi/token"},
		{"IDENTITY_HEADER", credentials["IDENTITY_HEADER"]},
		{"CHATELAINE_URL", url},
		{"CHATELAINE_VAULT_URL", a.base(firstVault+"."+a.cfg.Domain, l)},
		{"CHATELAINE_HSM_URL", a.base(firstHSM+"."+a.cfg.Domain, l)},
		{"SSL_CERT_FILE", root},
	} {
		fmt.Fprintf(&b, "%s=%s\n", v[0], v[1])
	}
	return dir.WriteFile(a.environmentFile(), []byte(b.String()), 0o600)
}

// Greet tells the operator how to go on.
func (a *App) Greet(ctx context.Context, w io.Writer) {
	fmt.Fprintf(w, "data           %s\n", a.dir.Path)
	fmt.Fprintf(w, "database       %s\n", a.db.Dialect())
	fmt.Fprintf(w, "credentials    %s   (eval \"$(chatelaine env)\")\n", a.environmentFile())
	fmt.Fprintf(w, "console        %s   (once, within 15 minutes)\n", a.link)
	host := firstVault + "." + a.cfg.Domain
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		fmt.Fprintf(w, "hosts          %s does not resolve here; add to /etc/hosts:\n               127.0.0.1 %s %s %s\n", host, a.cfg.Domain, host, firstHSM+"."+a.cfg.Domain)
	}
}
