package doors

import (
	"net/url"
	"slices"
	"strings"

	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// Open names the doors that are open.
func Open(d profile.Doors) string {
	var open []string
	if d.ACME != nil {
		open = append(open, "ACME")
	}
	if d.EST != nil {
		open = append(open, "EST")
	}
	if d.SCEP != nil {
		open = append(open, "SCEP")
	}
	return strings.Join(open, ", ")
}

// Of are the open doors of a profile, with their addresses and what to type at each.
func (a *Area) Of(x profile.Profile) []page.Door {
	at := a.Addresses(x.Name)
	var list []page.Door
	if d := x.Doors.ACME; d != nil {
		list = append(list, acmeDoor(x.Name, *d, at))
	}
	if d := x.Doors.EST; d != nil {
		list = append(list, estDoor(x.Name, *d, at))
	}
	if d := x.Doors.SCEP; d != nil {
		list = append(list, scepDoor(x.Name, *d, at))
	}
	return list
}

func acmeDoor(name string, d profile.ACMEDoor, at Addresses) page.Door {
	command := "REQUESTS_CA_BUNDLE=root.pem certbot certonly --server " + at.ACME
	rules := sentences(join("Names are shown by ", d.Challenges), join("Names: ", d.Names), join("Without a challenge: ", d.Preauthorized))
	door := page.Door{Name: "ACME", Rules: "For certbot, lego, cert-manager, Caddy and others. " + rules}
	if d.ExternalAccount {
		command += " \\\n  --eab-kid KEY_ID --eab-hmac-key SECRET"
		door.Rules += " An account needs a key from you."
		door.Actions = []page.Action{{Text: "New key", Href: "/acme-server/keys/new?profile=" + url.QueryEscape(name)}}
	}
	command += " \\\n  --agree-tos --email ops@example.com --webroot -w /var/www/html -d www.example.com"
	door.Lines = []page.Line{{Label: "Directory", Text: at.ACME}, {Label: "certbot", Text: command}}
	return door
}

func estDoor(name string, d profile.ESTDoor, at Addresses) page.Door {
	door := page.Door{Name: "EST", Rules: sentences(join("Names: ", d.Names))}
	if d.ServerKeygen {
		door.Rules = sentences(door.Rules, "serverkeygen makes the key too.")
	}
	if d.Basic {
		door.Rules = sentences("With client id and secret of an application, or a one-time password.", door.Rules)
		door.Lines = append(door.Lines, page.Line{Label: "Address", Text: at.EST}, page.Line{Label: "curl", Text: curl(at.EST, "CLIENT_ID:SECRET")})
		door.Actions = []page.Action{{Text: "New one-time password", Href: passwordFor(name, passcode.EST)}}
	}
	if d.MutualTLS {
		door.Rules = sentences(door.Rules, "A certificate of ours lets its holder renew.")
		text := at.ESTMutual
		if text == "" {
			text = "off: start the server with --est"
		}
		door.Lines = append(door.Lines, page.Line{Label: "Address with a client certificate", Text: text})
	}
	return door
}

func scepDoor(name string, d profile.SCEPDoor, at Addresses) page.Door {
	door := page.Door{Name: "SCEP", Rules: sentences("For devices that know nothing newer; their keys are RSA.", join("Names: ", d.Names))}
	if d.Approval {
		door.Rules = sentences(door.Rules, "A person agrees to each request.")
	}
	if at.SCEP != "" { // what SCEP sends is protected by itself
		door.Lines = append(door.Lines, page.Line{Label: "Address", Text: at.SCEP})
	}
	door.Lines = append(door.Lines, page.Line{Label: "Address with TLS", Text: at.SCEPTLS})
	if d.Challenge {
		door.Actions = []page.Action{{Text: "New one-time password", Href: passwordFor(name, passcode.SCEP)}}
	}
	return door
}

func passwordFor(profile, door string) string {
	return home + "/passwords/new?" + url.Values{"profile": {profile}, "door": {door}}.Encode()
}

// withPassword is what to type with a one-time password.
func withPassword(door string, at Addresses, password string) []page.Line {
	if door == passcode.EST {
		return []page.Line{{Label: "Address", Text: at.EST}, {Label: "curl", Text: curl(at.EST, "any:"+password)}}
	}
	address := view.Or(at.SCEP, at.SCEPTLS)
	return []page.Line{{Label: "Address", Text: address}, {Label: "strongSwan pki", Text: "pki --scep --url " + address + " --in key.der --dn CN=device.example.com \\\n  --san device.example.com --password '" + password +
		"' \\\n  --cacert-enc ra.pem --cacert-sig ra.pem --cacert ca.pem --cacert root.pem --outform pem"}}
}

func curl(address, who string) string {
	return "curl --cacert root.pem -u '" + who + "' -H 'Content-Type: application/pkcs10' --data-binary @csr.b64 \\\n  " + address + "/simpleenroll"
}

// join is a list in a sentence; nothing is nothing.
func join(words string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	if slices.Contains(list, "*") {
		return words + "any."
	}
	shown := strings.Join(view.CleanAll(list, 5), ", ")
	if len(list) > 5 {
		return words + shown + " and " + view.Number(len(list)-5) + " more."
	}
	return words + shown + "."
}

func sentences(list ...string) string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}
