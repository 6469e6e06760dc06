// Package azcli has Microsoft's own command line, as Debian packages it, manage vaults.
package azcli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
)

// cli is the Azure CLI with a configuration of its own, logged in to a product.
type cli struct {
	t         *testing.T
	env       []string
	hosts     string            // file that stands at /etc/hosts for it
	variables map[string]string // $NAME in arguments and in what is wanted
}

// vaults are the names that must resolve: Python's resolver knows none below localhost.
const vaults = "default.localhost kv1.localhost"

func newCLI(t *testing.T, p *apptest.Product) *cli {
	t.Helper()
	for _, program := range []string{"az", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: install Debian's packages azure-cli, python3-azure and util-linux", program)
		}
	}
	dir := t.TempDir()
	c := &cli{t: t, hosts: filepath.Join(dir, "hosts"), variables: map[string]string{"URL": p.URL, "PORT": p.Port}}
	mend, err := filepath.Abs("testdata/mend")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.hosts, []byte("127.0.0.1 localhost "+vaults+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(p.Data, "bootstrap", "root.pem")
	c.env = append(os.Environ(), "AZURE_CONFIG_DIR="+dir, "HOME="+dir, "AZURE_CORE_COLLECT_TELEMETRY=false", "AZURE_CORE_NO_COLOR=true", "PYTHONPATH="+mend,
		"REQUESTS_CA_BUNDLE="+root, "SSL_CERT_FILE="+root)
	if out, err := c.command("true").CombinedOutput(); err != nil {
		t.Skipf("needs a mount namespace of its own, which this machine does not allow: %v %s", err, out)
	}
	return c
}

// command runs a program with the hosts file in place.
func (c *cli) command(args ...string) *exec.Cmd {
	flags := []string{"--mount"}
	if os.Geteuid() != 0 {
		flags = append(flags, "--user", "--map-root-user")
	}
	cmd := exec.CommandContext(c.t.Context(), "unshare", append(append(flags, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, c.hosts), args...)...)
	cmd.Env = c.env
	return cmd
}

var variable = regexp.MustCompile(`\$[A-Z]+`)

func (c *cli) fill(text string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string { return c.variables[name[1:]] })
}

// az runs a line of arguments, in which quotes hold words together, and returns what it
// prints.
func (c *cli) az(line string) (string, error) {
	c.t.Helper()
	var args []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			args = append(args, c.fill(part))
			continue
		}
		for word := range strings.FieldsSeq(part) {
			args = append(args, c.fill(word))
		}
	}
	cmd := c.command(append([]string{"az"}, args...)...)
	var out, failed strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("az %s: %w\n%s", line, err, failed.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// want runs a line and compares the JSON that it prints.
func (c *cli) want(line, want string) {
	c.t.Helper()
	got, err := c.az(line + " --output json")
	if err != nil {
		c.t.Fatal(err)
	}
	if plain(got) != plain(c.fill(want)) {
		c.t.Errorf("az %s\n%s, want %s", line, got, want)
	}
}

// plain is JSON without its white space.
func plain(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(b)
}

// refused runs a line that must fail and say why.
func (c *cli) refused(line, why string) {
	c.t.Helper()
	if out, err := c.az(line); err == nil || !strings.Contains(err.Error(), why) {
		c.t.Errorf("az %s: %v %s, want a refusal with %q", line, err, out, why)
	}
}

func (c *cli) keep(name, line string) {
	c.t.Helper()
	got, err := c.az(line + " --output tsv")
	if err != nil {
		c.t.Fatal(err)
	}
	c.variables[name] = got
}

// environment takes over admin.env.
func (c *cli) environment(p *apptest.Product) {
	c.t.Helper()
	environment, err := os.ReadFile(filepath.Join(p.Data, "bootstrap", "admin.env"))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(environment)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			c.variables[strings.ReplaceAll(name, "_", "")] = value
		}
	}
}

// login registers the product as a cloud and signs in as the first administrator.
func (c *cli) login(p *apptest.Product) {
	c.t.Helper()
	c.environment(p)
	cloud := filepath.Join(filepath.Dir(c.hosts), "cloud.json")
	config := c.fill(`{"endpoints":{"resourceManager":"$URL","activeDirectory":"$URL/adfs","activeDirectoryResourceId":"$URL",` +
		`"activeDirectoryGraphResourceId":"$URL","microsoftGraphResourceId":"$URL"},"suffixes":{"keyvaultDns":".localhost:$PORT"}}`)
	if err := os.WriteFile(cloud, []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
	for _, line := range []string{
		"cloud register -n House --cloud-config @" + cloud, "cloud set -n House",
		"login --service-principal -u $AZURECLIENTID -p $AZURECLIENTSECRET --tenant adfs --output none",
	} {
		if _, err := c.az(line); err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestAzureCLIFindsEverythingByTheMetadata(t *testing.T) {
	p := apptest.Start(t)
	c := newCLI(t, p)
	c.environment(p)
	c.env = append(c.env, "ARM_CLOUD_METADATA_URL="+p.URL+"/metadata/endpoints?api-version=2019-05-01")

	for _, line := range []string{"cloud set -n Chatelaine", "login --service-principal -u $AZURECLIENTID -p $AZURECLIENTSECRET --tenant adfs --output none"} {
		if _, err := c.az(line); err != nil {
			t.Fatal(err)
		}
	}
	c.want("keyvault create -n kv1 -g rg1 --query properties.vaultUri", `"https://kv1.localhost:$PORT/"`)
	c.want(`rest --resource $URL --url "https://kv1.localhost:$PORT/secrets?api-version=7.4"`, `{"nextLink":null,"value":[]}`)
}

func TestAzureCLIManagesVaults(t *testing.T) {
	p := apptest.Start(t)
	c := newCLI(t, p)
	c.login(p)
	who, err := p.Directory.CreateApplication(t.Context(), apptest.System, "robot")
	if err != nil {
		t.Fatal(err)
	}
	c.variables["APP"], c.variables["OBJECT"] = who.ClientID, who.ID
	const secret = `rest --resource $URL --url "https://kv1.localhost:$PORT/secrets/a?api-version=7.4" `

	c.want("account show --query state", `"Enabled"`)
	c.want("keyvault create -n kv1 -g rg1 --retention-days 7 --tags env=test --query [name,location,properties.softDeleteRetentionInDays,properties.enableRbacAuthorization,length(properties.accessPolicies)]",
		`["kv1","local",7,false,1]`)
	c.refused("keyvault create -n kv1 -g rg1", "already exists")
	c.refused("keyvault create -n kv1 -g other", "VaultAlreadyExists")
	c.want(secret+`--method put --body "{'value':'x1'}" --query value`, `"x1"`)
	c.want(secret+"--method get --query value", `"x1"`)
	c.want("keyvault show -n kv1 --query properties.vaultUri", `"https://kv1.localhost:$PORT/"`)
	c.refused("keyvault show -n nothere", "not found within subscription")
	c.want("keyvault list --resource-type vault --query [].name", `["default","kv1"]`)
	c.want("keyvault list --resource-type vault -g rg1 --query [].name", `["kv1"]`)
	c.want("keyvault update -n kv1 --enabled-for-deployment true --set tags.a=b --query [tags,properties.enabledForDeployment]", `[{"a":"b","env":"test"},true]`)
	c.want("keyvault check-name -n default --query [nameAvailable,reason]", `[false,"AlreadyExists"]`)

	c.want("keyvault set-policy -n kv1 --spn $APP --secret-permissions get list --query properties.accessPolicies[1].[objectId,sort(permissions.secrets)]", `["$OBJECT",["get","list"]]`)
	c.want("keyvault set-policy -n kv1 --object-id $OBJECT --key-permissions get --query properties.accessPolicies[1].permissions.keys", `["get"]`)
	c.want("keyvault delete-policy -n kv1 --object-id $OBJECT --query length(properties.accessPolicies)", `1`)

	c.want("keyvault network-rule add -n kv1 --ip-address 10.0.0.0/8 127.0.0.1 --query properties.networkAcls.ipRules[].value", `["10.0.0.0/8","127.0.0.1/32"]`)
	c.want("keyvault update -n kv1 --default-action Deny --query properties.networkAcls.defaultAction", `"Deny"`)
	c.want(secret+"--method get --query value", `"x1"`)
	c.want("keyvault network-rule remove -n kv1 --ip-address 127.0.0.1 --query properties.networkAcls.ipRules[].value", `["10.0.0.0/8"]`)
	c.refused(secret+"--method get", "ForbiddenByFirewall")
	c.want("keyvault update -n kv1 --default-action Allow --query properties.networkAcls.defaultAction", `"Allow"`)

	c.keep("ID", "keyvault show -n kv1 --query id")
	c.want("keyvault update -n kv1 --enable-rbac-authorization true --query properties.enableRbacAuthorization", `true`)
	c.want(`role assignment create --role "Key Vault Secrets User" --assignee $APP --scope $ID --query [principalId,scope]`, `["$OBJECT","$ID"]`)
	c.want(`role assignment create --role "Key Vault Secrets User" --assignee $APP --scope $ID --query principalId`, `"$OBJECT"`) // once more is no error
	c.want("role assignment list --scope $ID --query [].[roleDefinitionName,principalName]", `[["Key Vault Secrets User","$APP"]]`)
	c.want("role assignment list --assignee $APP --all --query [].scope", `["$ID"]`)
	if _, err := c.az(`role assignment delete --assignee $APP --role "Key Vault Secrets User" --scope $ID`); err != nil {
		t.Fatal(err)
	}
	c.want("role assignment list --scope $ID", `[]`)

	if _, err := c.az("keyvault delete -n kv1"); err != nil {
		t.Fatal(err)
	}
	c.refused(secret+"--method get", "VaultNotFound")
	c.want("keyvault list-deleted --query [].name", `["kv1"]`)
	c.want("keyvault show-deleted -n kv1 --query properties.vaultId", `"$ID"`)
	c.refused("keyvault create -n kv1 -g rg1", "ConflictError")
	c.want("keyvault recover -n kv1 --query id", `"$ID"`)
	c.want(secret+"--method get --query value", `"x1"`)
	for _, line := range []string{"keyvault delete -n kv1", "keyvault purge -n kv1"} {
		if _, err := c.az(line); err != nil {
			t.Fatal(err)
		}
	}
	c.want("keyvault list-deleted", `[]`)
	c.refused("keyvault purge -n kv1", "No deleted Vault or HSM was found")
	c.want("keyvault create -n kv1 -g rg1 --enable-purge-protection true --enable-rbac-authorization true --query properties.enablePurgeProtection", `true`)
	if _, err := c.az("keyvault delete -n kv1"); err != nil {
		t.Fatal(err)
	}
	c.refused("keyvault purge -n kv1", "MethodNotAllowed")
}
