package page_test

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/a-h/templ"

	"chatelaine.dev/internal/serve/console/asset"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// now is the time of the sample.
var now = time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)

// hostile is what a stranger may have put into a name.
const hostile = `<img src=x onerror=alert(1)>"'><script>alert(2)</script>{{7*7}}`

func in(days int) time.Time { return now.AddDate(0, 0, days) }

func chip(tone view.Tone, word string) view.Chip { return view.Chip{Tone: tone, Word: word} }

func link(text, href string) view.Link { return view.Link{Text: text, Href: href} }

func life(left, lived int) view.Life { return view.LifeOf(now, in(-lived), in(left)) }

// pages are all pages with the sample, by the name of their picture.
func pages() map[string]func(view.Shell) templ.Component {
	return map[string]func(view.Shell) templ.Component{
		"overview":       overview().Show,
		"overview-empty": page.Overview{Empty: true, Begin: []view.Link{link("Start a scan", "/discovery#scan"), link("Connect a source", "/connections")}}.Show,
		"overview-calm":  calm().Show,
		"certificates":   certificates().Show,
		"filter-wrong":   wrongFilter().Show,
		"certificate":    certificate().Show,
		"endpoints":      endpoints().Show,
		"discovery":      discovery().Show,
		"run":            discovery().Running[0].Show,
		"campaign":       page.CampaignDetail{Name: "dmz-weekly", Lead: "every week", Run: "/a", Delete: "/b", Props: discovery().Running[0].Props, Runs: discovery().Runs}.Show,
		"lineages":       lineages().Show,
		"lineage":        lineage().Show,
		"requests":       requests().Show,
		"request":        request().Show,
		"vaults":         vaults().Show,
		"vault":          vault().Show,
		"audit":          trail().Show,
		"connections":    connections().Show,
		"connection":     page.Connection{Name: "web-1", State: chip(view.OK, "works"), Test: "/connections/1/test", Settings: []page.Prop{{Name: "root", Text: "/etc/nginx/tls", Mono: true}, {Name: "password", Text: "set, and never shown"}}, Props: []page.Prop{{Name: "Connector", Text: "Files"}}, Next: page.Next{Actions: []page.Action{{Text: "Delete…", Href: "/connections/1/delete", Danger: true}}}}.Show,
		"subscriptions":  page.Subscriptions{Lead: "1 subscription", Rows: []page.SubscriptionRow{{link("rotation", "/subscriptions/1"), "/vaults/payments", "Microsoft.KeyVault.Secret*", "https://hooks.example.com/rotate", chip(view.OK, "active")}}}.Show,
		"subscription":   page.Subscription{Name: "rotation", State: chip(view.OK, "active"), Test: "/subscriptions/1/test", Again: "/subscriptions/1/redeliver", More: "3 more are not shown.", Props: []page.Prop{{Name: "Schema", Text: "EventGridSchema"}}, Letters: []page.Letter{{in(-3), "3 days ago", "Secret expired: db", "30", "the endpoint answered 503 Service Unavailable"}}}.Show,
		"authorities":    authorities().Show,
		"profiles":       page.Profiles{Lead: "2 profiles", Start: "/issuance-audits", Rows: []page.ProfileRow{{link("tls-server", "/profiles/tls-server"), hostile, "serverAuth", "90d", "ACME", chip(view.None, "built in")}, {link("wide", "/profiles/wide"), "For everybody", "serverAuth", "90d", "EST", chip(view.Bad, "1 finding")}}, Audits: []page.IssuanceAuditRow{{in(-1), link("yesterday", "/issuance-audits/1"), "12 of 12", chip(view.OK, "nothing found")}}}.Show,
		"profile":        page.Profile{Name: "wide", Title: hostile, State: chip(view.Bad, "1 finding"), Text: `{"name":"wide"}`, Findings: []page.Prop{{Name: "ESC17", Text: "whoever gets through a door gets a certificate for any server"}}, Props: []page.Prop{{Name: "Keys", Text: "P-256"}}, Actions: []page.Action{{Text: "Copy…", Href: "/profiles/wide/copy"}, {Text: "Delete…", Href: "/profiles/wide/delete", Danger: true}}}.Show,
		"issuance-audit": page.IssuanceAudit{State: chip(view.None, "running"), Live: "/issuance-audits/1/line", Props: []page.Prop{{Name: "Checked", Text: "200 of 450 certificates"}}, Findings: []page.IssuanceFinding{{Subject: hostile, Serial: "issuing/4d7a", Profile: "tls-server", Rule: "weak_shared-prime", Detail: "the RSA key has a prime in common with another"}}}.Show,
		"acme":           page.ACME{Lead: "1 account", Keys: []page.ACMERow{{"4f0c", "tls-server", hostile, in(-3), "3 days ago", chip(view.OK, "for one account"), link("", "/acme-server/keys/4f0c/revoke")}}, Accounts: []page.ACMERow{{"0199", "tls-server", "shop", in(-1), "yesterday", chip(view.None, "deactivated"), view.Link{}}}}.Show,
		"acme-key":       page.ACMEKey{Owner: "shop", Props: []page.Prop{{Name: "Secret", Text: "s", Mono: true}}}.Show,
		"enrolment": page.Doors{Lead: "2 profiles", Profiles: []page.DoorRow{
			{link("tls-server", "/profiles/tls-server"), "Servers, by TLS", "ACME, EST, SCEP", chip(view.OK, "none"), "/enrolment/profiles/tls-server/csr", "/enrolment/profiles/tls-server/key"},
			{link("code-signing", "/profiles/code-signing"), hostile, "", chip(view.Warn, "a person"), "/enrolment/profiles/code-signing/csr", ""},
		}, Passwords: []page.PasswordRow{{"printer.example.com", "tls-server", "SCEP", hostile, in(1), "tomorrow", chip(view.OK, "unused"), "/enrolment/passwords/1/delete"}, {"*.iot.example.com", "device", "EST", "", in(-1), "yesterday", chip(view.None, "used"), ""}}}.Show,
		"enrolment-empty":  page.Doors{Lead: "0 profiles"}.Show,
		"enrolment-hidden": page.Doors{Lead: "0 profiles", Hidden: "You have no role that shows one-time passwords."}.Show,
		"password":         page.Password{For: "printer.example.com", Rules: "Good for one certificate.", Lines: []page.Line{{"Password", "che_0123"}, {"Address", "http://pki.example.com:8444/scep/device"}}}.Show,
		"collected":        page.Collected{Title: "The certificate of www.example.com", Crumbs: []view.Link{link("Requests", "/requests")}, Props: []page.Prop{{Name: "Serial", Text: "4d7a", Mono: true}}, PEM: "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n", File: "/requests/1/certificate/chain.pem", Name: "www.example.com.pem"}.Show,
		"profile-doors":    page.Profile{Name: "tls-server", State: chip(view.None, "built in"), Text: "{}", Doors: page.DoorCards([]page.Door{{Name: "ACME", Rules: "For certbot and others.", Lines: []page.Line{{"Directory", "https://pki.example.com/acme/tls-server/directory"}, {"certbot", "certbot certonly --server https://pki.example.com/acme/tls-server/directory"}}, Actions: []page.Action{{Text: "New key", Href: "/acme-server/keys/new"}}}, {Name: "SCEP", Rules: "For devices."}})}.Show,
		"profile-no-doors": page.Profile{Name: "closed", State: chip(view.None, "built in"), Text: "{}", Doors: page.DoorCards(nil)}.Show,
		"adopt":            adopt().Show,
		"revoke":           revoke().Show,
		"sign-in":          page.SignIn{}.Show,
		"sign-in-link":     page.SignIn{Token: "t", Wrong: "This link was used before, or it is too old. Start the server again for a new one, or sign in with user and password."}.Show,
		"problem":          page.Problem{Title: "You may not see this", Text: "Reading the audit trail needs the right Chatelaine/audit/read.", Do: "Ask for the role Auditor.", Who: "Administrators: admin", ID: "01JD3Z", Links: []view.Link{link("Overview", "/")}}.Show,
		"certificate-bad":  hostileCertificate().Show,
	}
}

func shell(here, title string, assets *asset.Set) view.Shell {
	return view.Shell{Title: title, Here: here, Person: "admin", Assets: assets, Back: here, Menu: []view.Group{
		{Entries: []view.Entry{{Name: "Overview", Href: "/"}, {Name: "Certificates", Href: "/certificates"}, {Name: "Lineages", Href: "/lineages"}, {Name: "Requests", Href: "/requests", Count: "3", Waits: "wait for an approval"}}},
		{Name: "Find", Entries: []view.Entry{{Name: "Discovery", Href: "/discovery"}, {Name: "Endpoints", Href: "/endpoints"}}},
		{Name: "Keep", Entries: []view.Entry{{Name: "Vaults", Href: "/vaults"}}},
		{Name: "Govern", Entries: []view.Entry{{Name: "Audit", Href: "/audit"}, {Name: "Connections", Href: "/connections"}, {Name: "Subscriptions", Href: "/subscriptions"}}},
	}}
}

func overview() page.Overview {
	var h view.Histogram
	h.Today, h.Total = now.Truncate(24*time.Hour), link("1,531 certificates", "/certificates?q=x")
	for d := range 90 {
		n := int((math.Sin(float64(d)*1.7) + 1) * 12)
		if d%7 < 5 {
			n += 14
		}
		if d%30 == 13 {
			n += 40
		}
		bad := 0
		if d == 4 || d == 9 || d == 13 {
			bad = 8
		}
		h.Days = append(h.Days, view.Expiry{Unattended: n, Attended: bad, Href: "/certificates?q=" + fmt.Sprint(d)})
	}
	return page.Overview{
		Sentence: []view.Link{link("3 certificates need a person", "/certificates?q=a"), {Text: ". "}, link("1,204 renew by themselves", "/certificates?q=b"), {Text: "."}},
		Breaks: []page.Break{
			{Name: link("pay.example.com", "/certificates/a"), Where: "F5 edge-1, edge-2", Life: life(4, 86), Reason: "DigiCert order waits for domain validation", Owner: "Payments", Action: link("Show the request", "/requests/1")},
			{Name: link("vpn.corp.example", "/certificates/b"), Where: "pan-hq (gateway)", Life: life(9, 81), Reason: "Commit on pan-hq refused: another admin holds the lock", Owner: "Network", Action: link("Retry deployment", "/lineages/2")},
			{Name: link("*.legacy.example.com", "/certificates/c"), Where: "11 installations", Life: life(13, 47), Reason: "Nobody owns it; found by scan on 2 Nov", Action: link("Adopt", "/certificates/c/adopt")},
		},
		More: link("Show all 41", "/certificates?q=c"), Histogram: h,
		Facts: []page.Fact{
			{"Would renew unattended", "96.4 %", "41 need an owner or a connection", "/certificates?q=d"},
			{"Seen in the last 24 h", "98.1 %", "2 sources stale: gcp-prod, dmz", "/certificates?q=e"},
			{"Longer than allowed on 15 Mar 2027", "612", "100-day limit · 112 days left", "/certificates?q=f"},
			{"TLS 1.3", "87 %", "of 2,214 endpoints", "/endpoints?q=g"},
		},
		Findings: []page.Finding{
			{chip(view.Bad, "critical"), "Private key shared by certificates of different owners", link("7", "/certificates?q=h")},
			{chip(view.Bad, "critical"), "Issued by an authority nobody registered", link("23", "/certificates?q=i")},
			{chip(view.Warn, "high"), "RSA key under 2048 bits", link("12", "/certificates?q=j")},
			{chip(view.Warn, "high"), "clientAuth on a public certificate, banned from 15 Mar 2027", link("188", "/certificates?q=k")},
			{chip(view.Info, "medium"), "Chain is missing an intermediate", link("31", "/certificates?q=l")},
		},
		Events: &page.Events{Again: "/overview/events?n=1", List: []page.Event{
			{now, "api.example.com renewed, served by 6 of 6", "14:02", "/certificates/x"},
			{now, "Scan dmz-weekly: 4,096 addresses, 212 endpoints", "13:58", "/discovery"},
			{now, "aws-prod: 3 certificates imported", "13:41", ""},
			{now, "Key payroll-kek rotated by policy", "13:30", "/vaults/payroll"},
			{now, "m.ito approved request R-2041", "13:07", "/requests/2041"},
		}},
	}
}

func calm() page.Overview {
	o := overview()
	o.Breaks, o.Findings, o.Events.List = nil, nil, nil
	o.Sentence = []view.Link{{Text: "Nothing. "}, link("1,204 certificates renew by themselves", "/certificates?q=b"), {Text: "."}}
	o.Calm = "Every certificate that expires in the next 30 days renews by itself."
	return o
}

func filter(path, value string) page.Filter {
	return page.Filter{Path: path, Value: value, Hint: `expires < 30d and not owner = "Lab"`, Pills: []page.Pill{
		{Name: "Grade", Choices: []view.Link{link("A", "/certificates?q=1"), link("F", "/certificates?q=2")}},
		{Name: "Issuer", Choices: []view.Link{link("ours", "/certificates?q=3")}},
		{Name: "Source", Value: "aws-prod, scan", Remove: "/certificates?q=4"},
	}, Words: []page.Word{{"expires", "days until it expires, or a date", "expires < 30d"}, {"name", "any of its names", `name ~ "example"`}}}
}

func certificates() page.Certificates {
	rows := []page.CertificateRow{
		{Status: chip(view.Bad, "expiring"), Life: life(4, 86), Grade: "C", Issuer: "DigiCert TLS RSA 2020", Key: "RSA 2048", Owner: "Payments", Automation: "watched only", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.OK, "served"), Life: life(82, 8), Grade: "A", Issuer: "Let's Encrypt E7", Key: "P-256", Owner: "Platform", Automation: "renews itself", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.Warn, "finding"), Life: life(37, 63), Grade: "B", Issuer: "Corp Issuing CA 2", Key: "RSA 3072", Owner: "Directory", Automation: "renews itself", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.OK, "served"), Life: life(160, 20), Grade: "A", Issuer: "Chatelaine Device CA", Key: "ML-DSA-65", Owner: "Devices", Automation: "EST", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.Warn, "unowned"), Life: life(13, 47), Grade: "D", Issuer: "Unknown CA “LocalRoot”", Key: "RSA 1024", Seen: "3 days ago", SeenAt: now},
		{Status: chip(view.OK, "served"), Life: life(58, 20), Grade: "A", Issuer: "Chatelaine Issuing CA", Key: "P-256", Owner: "Platform", Automation: "ACME", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.Bad, "not served"), Life: life(88, 2), Grade: "B", Issuer: "GlobalSign R6", Key: "RSA 2048", Owner: "Exchange", Automation: "renews itself", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.OK, "served"), Life: life(61, 29), Grade: "A", Issuer: "AD CS Web", Key: "P-384", Owner: "Mail", Automation: "approval", Seen: "2 hours ago", SeenAt: now},
		{Status: chip(view.Bad, "expired"), Life: life(-3, 90), Grade: "F", Issuer: view.Clean(hostile), Key: "RSA 512", Seen: "3 days ago", SeenAt: now},
	}
	names := []string{"pay.example.com", "api.example.com", "ldap-3.corp.example", "gw.iot.example", "*.legacy.example.com", "grafana.k8s.example", "sftp.partner.example", "mail.example.com", hostile}
	for i := range rows {
		rows[i].Name = link(view.Clean(names[i]), fmt.Sprintf("/certificates/%d", i))
		rows[i].Installed = link(fmt.Sprint(i), "/endpoints?q=x")
	}
	return page.Certificates{Sort: map[string]page.Order{"name": {Href: "/certificates?sort=name"}, "expires": {Is: "ascending", Href: "/certificates?sort=-expires"}}, Filter: filter("/certificates", `expires < 90d and not revoked and owner != "Lab"`), Lead: "1,531 of 48,210", Rows: rows,
		Pager: view.Pager{Shown: "1–9 of 1,531", Next: "/certificates?after=x"}}
}

func wrongFilter() page.Certificates {
	c := page.Certificates{Filter: filter("/certificates", `expires < and grade`), Lead: "The filter cannot be read"}
	c.Filter.Wrong = &page.WrongFilter{Message: "Column 11: a value is missing after <.", Pointer: "expires < and grade\n          ^"}
	return c
}

func certificate() page.Certificate {
	return page.Certificate{
		Name: "*.legacy.example.com", Status: chip(view.Warn, "unowned"), Grade: "D, 41 of 100", Life: life(13, 47), Lead: "found by scan dmz-weekly",
		Next: page.Next{Tone: view.Warn, Title: "It expires in 13 days, and nobody looks after it.", Text: "Adopt it, and Chatelaine renews, installs and proves it from then on.", Actions: []page.Action{
			{Text: "Adopt…", Href: "/certificates/c/adopt", Primary: true}, {Text: "Revoke…", Href: "/certificates/c/revoke", Danger: true}}},
		Props:    []page.Prop{{Name: "Subject", Text: "CN=*.legacy.example.com,O=Example,C=JP"}, {Name: "Names", List: []string{"*.legacy.example.com", "legacy.example.com", "10.1.2.3"}}, {Name: "Issuer", Text: "CN=LocalRoot,O=Unknown"}, {Name: "Serial", Text: "0a:1b:2c", Mono: true}, {Name: "Valid", Text: "2 Oct 2026 to 6 Dec 2026 (65 days)"}, {Name: "Key", Text: "RSA 1024", Link: link("RSA 1024, shared with 2 others", "/certificates?q=spki")}, {Name: "Signature", Text: "SHA1-RSA"}, {Name: "Usage", Text: "serverAuth, clientAuth"}, {Name: "SHA-256", Text: strings.Repeat("0a1b2c3d", 8), Mono: true}},
		Chain:    []page.Node{{Name: link("*.legacy.example.com", ""), Word: "this certificate", Detail: "until 6 Dec 2026", Role: "leaf"}, {Name: link("LocalIntermediate", "/certificates/i"), Word: "intermediate", Detail: "until 3 Mar 2031", Role: "intermediate"}, {Name: link("LocalRoot", ""), Word: "missing", Detail: "not served, not known", Role: "missing"}},
		Served:   "served without its root, which is right",
		Places:   []page.Places{{Kind: "Served on the network", Count: link("2", "/endpoints?q=1"), List: []page.Place{{Where: link("10.0.3.7:443", "/endpoints?q=2"), Detail: "as legacy.example.com, TLS 1.0–1.2", State: chip(view.OK, "seen"), Seen: "2 hours ago", At: now}, {Where: link("10.0.3.8:8443", "/endpoints?q=3"), Detail: "TLS 1.2", State: chip(view.Warn, "changed"), Seen: "3 days ago", At: now}}}, {Kind: "In files", Count: link("1", ""), List: []page.Place{{Where: link("/etc/nginx/tls/legacy.pem", ""), Detail: "on web-1", Seen: "yesterday", At: now}}}},
		Findings: []page.Wrong{{chip(view.Bad, "critical"), "RSA key under 2048 bits", "The key has 1024 bits; factoring it is within reach.", "Renew it with a new key of at least 2048 bits or P-256."}, {chip(view.Warn, "high"), "Signed with SHA-1", "SHA-1 collisions are practical.", "Renew it; every profile here signs with SHA-256."}},
		Timeline: []page.Moment{{At: in(13), When: "6 Dec 2026", Text: "It expires", Tone: view.Bad, Coming: true}, {At: now, When: "23 Nov 12:01", Text: "Seen again at 10.0.3.7:443", Detail: "run dmz-weekly"}, {At: in(-21), When: "2 Nov 2026", Text: "Found by scan dmz-weekly", Tone: view.OK}, {At: in(-47), When: "7 Oct 2026", Text: "It became valid"}},
		PEM:      "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n",
	}
}

// hostileCertificate has a hostile text in every field that a stranger writes.
func hostileCertificate() page.Certificate {
	c, x := certificate(), view.Clean(strings.Repeat(hostile+"\u202e\x00", 12))
	c.Name, c.Lead, c.Served = x, x, x
	for i := range c.Props {
		c.Props[i] = page.Prop{Name: c.Props[i].Name, Text: x, Mono: i%2 == 0}
	}
	c.Props = append(c.Props, page.Prop{Name: "Names", List: []string{x, hostile}})
	for i := range c.Chain {
		c.Chain[i].Name.Text, c.Chain[i].Detail = x, x
	}
	for i := range c.Places[0].List {
		c.Places[0].List[i].Where.Text, c.Places[0].List[i].Detail = x, x
	}
	for i := range c.Timeline {
		c.Timeline[i].Text, c.Timeline[i].Detail = x, x
	}
	return c
}

func endpoints() page.Endpoints {
	var rows []page.EndpointRow
	for i := range 12 {
		r := page.EndpointRow{Address: fmt.Sprintf("10.0.3.%d:443", i), Name: "legacy.example.com", Certificate: link("*.legacy.example.com", "/certificates/c"), Life: life(13*i+2, 47), TLS: "1.2, 1.3", State: chip(view.OK, "present"), Chain: "complete", Seen: "2 hours ago", At: now}
		if i == 3 {
			r.State, r.Certificate, r.Life = chip(view.Bad, "unreachable"), view.Link{}, view.Life{}
		}
		rows = append(rows, r)
	}
	return page.Endpoints{Filter: filter("/endpoints", ""), Lead: "2,214 endpoints", Rows: rows, Pager: view.Pager{Shown: "1–12 of 2,214", Next: "/endpoints?after=1"}}
}

func discovery() page.Discovery {
	run := page.Run{ID: "r1", Name: link("dmz-weekly", "/discovery/runs/r1"), State: chip(view.Info, "running"), Progress: view.Progress{Done: 1024, All: 4096}, Line: "1,024 of 4,096 addresses · 212 endpoints · 3 new certificates", Live: "/discovery/runs/r1/line", Cancel: "/discovery/runs/r1/cancel", At: now, Started: "14:02", Took: "3 minutes",
		Props: []page.Prop{{Name: "Targets", Text: "10.0.3.0/24"}, {Name: "Ports", Text: "443, 8443"}}, Title: "Run of dmz-weekly", Lead: "started 3 minutes ago"}
	done := run
	done.ID, done.State, done.Live, done.Line = "r0", chip(view.OK, "done"), "", "4,096 addresses · 211 endpoints · 0 new certificates"
	return page.Discovery{Lead: "2 campaigns, 1 running", Running: []page.Run{run},
		Campaigns: []page.Campaign{{Name: link("dmz-weekly", ""), What: "10.0.3.0/24 on 443, 8443", Often: "every week", LastRun: link("16 Nov", "/discovery/runs/r0"), At: in(-7), State: chip(view.OK, "done"), Found: link("212", "/endpoints?q=c"), Run: "/discovery/campaigns/1/run"}, {Name: link("azure-prod", ""), What: "vault https://a.vault.azure.net", Often: "by hand", State: chip(view.None, "never run")}},
		Runs:      []page.Run{run, done},
		Scan:      page.Form{Action: "/discovery/scan", Submit: "Start the scan", TabsLabel: "Look at", Tabs: []page.Tab{{"the network", "/discovery", true}, {"azure-prod", "/discovery?source=1", false}}, Fields: []page.Field{{Name: "name", Label: "Name", Kind: "text", Required: true, Hint: "dmz"}, {Name: "targets", Label: "Targets", Kind: "lines", Required: true, Help: "Hosts, addresses or networks (CIDR), one a line. A port may follow: db.example.com:5432."}, {Name: "ports", Label: "Ports", Kind: "text", Value: "443, 8443", Help: "For targets without a port of their own."}}},
	}
}

func lineages() page.Lineages {
	return page.Lineages{Lead: "2 lineages", Rows: []page.LineageRow{
		{Name: link("api.example.com", "/lineages/1"), State: chip(view.OK, "served"), Life: life(82, 8), Profile: "tls-server", Owner: "Platform", Targets: "files web-1", Next: "renews 24 Jan"},
		{Name: link("vpn.corp.example", "/lineages/2"), State: chip(view.Bad, "not deployed"), Life: life(9, 81), Profile: "tls-server", Targets: "files pan-hq", Next: "retry 14:30"},
	}}
}

func lineage() page.Lineage {
	return page.Lineage{Name: "vpn.corp.example", State: chip(view.Bad, "not deployed"), Life: life(9, 81),
		Next:     page.Next{Tone: view.Bad, Title: "The new certificate is not installed.", Text: "The reload command on pan-hq ended with 1: configuration locked.", Actions: []page.Action{{Text: "Renew now", Href: "/lineages/2/renew", Primary: true}}},
		Wanted:   []page.Prop{{Name: "Names", List: []string{"vpn.corp.example"}}, {Name: "Profile", Text: "tls-server"}, {Name: "Renews", Text: "at two thirds of its lifetime"}, {Name: "Owner", Text: "Network"}},
		Targets:  []page.Target{{Where: "/etc/nginx/tls", With: "files on web-1", State: chip(view.Bad, "rolled back"), Message: "check command ended with 1", At: now, When: "2 hours ago"}, {Where: "10.0.0.1:443", With: "handshake", State: chip(view.OK, "proved"), Message: "serves the new certificate", At: now, When: "2 hours ago"}},
		Versions: []page.Version{{Name: link("0a1b2c3d4e5f6071", "/certificates/n"), State: chip(view.OK, "current"), Life: life(90, 0), From: "request", Request: link("request", "/requests/1"), Since: "2 hours ago", At: now}, {Name: link("ff1b2c3d4e5f6071", "/certificates/o"), State: chip(view.None, "replaced"), Life: life(9, 81), From: "adopted", Since: "3 May 2026", At: in(-200)}},
		Timeline: certificate().Timeline}
}

func requests() page.Requests {
	return page.Requests{Lead: "3 wait for an approval", Tabs: []page.Tab{{"Waiting 3", "/requests?state=waiting", true}, {"Open", "/requests?state=open", false}, {"All", "/requests", false}}, Rows: []page.RequestRow{
		{ID: link("R-2041", "/requests/2041"), Kind: "renew", Name: "mail.example.com", State: chip(view.Warn, "waiting"), By: "m.ito", Line: "waits for one approval", At: now, When: "2 hours ago"},
		{ID: link("R-2040", "/requests/2040"), Kind: "enroll", Name: view.Clean(hostile), State: chip(view.Info, "running"), By: "api", Line: "installing on web-1", At: now, When: "3 hours ago"},
		{ID: link("R-2039", "/requests/2039"), Kind: "renew", Name: "vpn.corp.example", State: chip(view.Bad, "failed"), By: "system", Line: "reload command ended with 1", At: now, When: "yesterday"},
	}}
}

func request() page.Request {
	return page.Request{ID: "R-2041", Title: "Renew mail.example.com", State: chip(view.Warn, "waiting"), Live: "/requests/2041/road",
		Props:   []page.Prop{{Name: "Names", List: []string{"mail.example.com"}}, {Name: "Profile", Text: "tls-server"}, {Name: "Asked by", Text: "m.ito"}, {Name: "Lineage", Link: link("mail.example.com", "/lineages/3")}},
		Approve: &page.Decision{Approve: "/requests/2041/approve", Deny: "/requests/2041/deny", Why: "The profile tls-server asks for one approval of somebody else than m.ito."},
		Steps:   []page.Step{{chip(view.OK, "done"), "Policy", "no rule refuses it", now, "14:01"}, {chip(view.Warn, "waiting"), "Approval", "1 of 1 is missing", time.Time{}, ""}, {chip(view.None, "to do"), "Key and request", "", time.Time{}, ""}, {chip(view.None, "to do"), "Issue", "", time.Time{}, ""}, {chip(view.None, "to do"), "Store", "", time.Time{}, ""}, {chip(view.None, "to do"), "Install", "", time.Time{}, ""}, {chip(view.None, "to do"), "Prove by a handshake", "", time.Time{}, ""}},
	}
}

func vaults() page.Vaults {
	return page.Vaults{Lead: "2 vaults", Rows: []page.VaultRow{{link("default", "/vaults/default"), "https://default.localhost:8443", "90 days", in(-30), "24 Oct 2026"}, {link("payroll", "/vaults/payroll"), "https://payroll.localhost:8443", "30 days", in(-3), "20 Nov 2026"}}}
}

func vault() page.Vault {
	return page.Vault{Name: "payroll", Address: "https://payroll.localhost:8443", Kind: "Keys", Tabs: []page.Tab{{"Keys", "/vaults/payroll?kind=keys", true}, {"Secrets", "/vaults/payroll?kind=secrets", false}, {"Certificates", "/vaults/payroll?kind=certificates", false}},
		Rows: []page.ObjectRow{{Name: "payroll-kek", Type: "RSA 3072", State: chip(view.OK, "enabled"), Updated: "2 hours ago", At: now, Expires: "in 200 days", Until: in(200), Tags: "team=pay"}, {Name: "old-signer", Type: "P-256", State: chip(view.None, "disabled"), Updated: "3 May 2026", At: in(-200)}}}
}

func trail() page.Audit {
	return page.Audit{Lead: "12,044 records", Verify: page.Verify{Tone: view.OK, Title: "The trail is whole.", Text: "12,044 records and 13 checkpoints, checked just now.", Asked: true},
		Fields: []page.Field{{Name: "who", Label: "Who", Kind: "text"}, {Name: "operation", Label: "Operation", Kind: "text"}, {Name: "target", Label: "Target", Kind: "text", Value: "/vaults/payroll"}, {Name: "outcome", Label: "Outcome", Kind: "choice", Options: []page.Option{{"", "any outcome"}, {"denied", "denied"}}}}, Reset: "/audit",
		Rows: []page.Record{{"12,044", now, "23 Nov 14:02:11", "admin", "127.0.0.1", "SecretGet", "/vaults/payroll/secrets/db", "/vaults/payroll?kind=secrets", chip(view.OK, "success"), []string{"version 1f", "apiVersion 7.6"}, []page.Prop{{Name: "version", Text: "1f"}, {Name: "apiVersion", Text: "7.6"}}}, {"12,043", now, "23 Nov 14:02:10", "m.ito", "10.0.0.7", "KeySign", "/vaults/payroll/keys/" + hostile, "", chip(view.Bad, "denied"), nil, []page.Prop{{Name: "action", Text: "Microsoft.KeyVault/vaults/keys/sign/action"}}}}}
}

func connections() page.Connections {
	return page.Connections{Lead: "1 connection", Rows: []page.ConnectionRow{{link("web-1", "/connections/1"), "Files", "target", chip(view.OK, "works"), in(-3), "3 days ago"}}, Kinds: []page.Kind{{"Files", "Writes certificates and keys as PEM files on this machine, and runs a reload command.", "target", "/connections/new?connector=files"}, {"Azure Key Vault", "Looks into the vaults of a subscription.", "source", "/connections/new?connector=azurekeyvault"}}}
}

func revoke() page.Form {
	return page.Form{Crumbs: []view.Link{link("Certificates", "/certificates"), link("pay.example.com", "/certificates/a")}, Title: "Revoke pay.example.com", Lead: "Whoever checks revocation stops trusting it at once. It cannot be taken back.",
		Preview: []page.Prop{{Name: "Serial", Text: "0a:1b:2c", Mono: true}, {Name: "Still served by", Link: link("14 installations, 3 owners", "/endpoints?q=a")}}, Warning: "14 places still serve it. Renew it first, or they stop working.",
		Action: "/certificates/a/revoke", Danger: true, Submit: "Revoke", Cancel: "/certificates/a", Wrong: "The name does not match.",
		Fields: []page.Field{{Name: "reason", Label: "Reason", Kind: "choice", Required: true, Options: []page.Option{{"superseded", "It was replaced"}, {"keyCompromise", "Its key may be known to others"}}}, {Name: "name", Label: "Type pay.example.com to confirm", Kind: "text", Required: true, Wrong: "Type exactly: pay.example.com"}}}
}

func adopt() page.Form {
	return page.Form{Crumbs: []view.Link{link("Certificates", "/certificates"), link("pay.example.com", "/certificates/a")}, Title: "Adopt pay.example.com", Lead: "A lineage takes over: it asks for the next certificate in time, keeps it in a vault, installs it, and proves by a handshake that it is served.",
		Preview: []page.Prop{{Name: "Expires", Text: "in 4 days"}}, TabsLabel: "Install over", Tabs: []page.Tab{{"nothing: only renew and keep", "/a", false}, {"web-1", "/b", true}}, Action: "/a", Submit: "Adopt", Cancel: "/b",
		Fields: []page.Field{{Name: "name", Label: "Name", Value: "pay.example.com", Required: true}, {Name: "profile", Label: "Profile", Kind: "choice", Required: true, Options: []page.Option{{"tls-server", "tls-server"}}}, {Name: "setting-chain", Label: "chain", Help: "File that gets the certificate with its chain.", Required: true}, {Name: "setting-sep", Label: "append the root", Kind: "check"}}}
}

func authorities() page.Authorities {
	return page.Authorities{Lead: "5 authorities", More: "Only the first 100 are shown.", Tree: view.Tree{Label: "Who certified whom", Nodes: []view.TreeNode{
		{Name: "root", Detail: "P-384, issues", Href: "#authority-root", Tone: view.OK, Parent: -1},
		{Name: "issuing", Detail: "P-256, followed by issuing-2", Href: "#authority-issuing", Tone: view.None, Parent: 0},
		{Name: "issuing-2", Detail: "P-256, issues", Href: "#authority-issuing-2", Tone: view.OK, Parent: 0, Also: []int{4}},
		{Name: hostile, Detail: "Ed25519, issues", Href: "#authority-shops", Tone: view.Warn, Parent: 2},
		{Name: "pq", Detail: "ML-DSA-65, issues", Href: "#authority-pq", Tone: view.OK, Parent: -1},
	}}, Rows: []page.AuthorityRow{
		{ID: "root", Subject: "CN=Root", Above: "itself", Key: "P-384", State: chip(view.OK, "issues"), Life: life(3000, 600)},
		{ID: "shops", Subject: "CN=" + hostile, Above: "issuing-2", Also: "pq", Key: "Ed25519", Limits: "path length 0; only shops.example.com", State: chip(view.OK, "issues"), Life: life(300, 60)},
	}}
}
