package settings_test

import (
	"fmt"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/settings"
)

func TestEveryPermissionHasABitOfItsOwn(t *testing.T) {
	var all settings.Set
	n := 0
	for _, a := range []settings.Area{settings.Keys, settings.Secrets, settings.Certificates, settings.Storage} {
		for _, w := range settings.Words(a) {
			bit := settings.Of(a, w)
			if bit.Len() != 1 || all.Has(bit) {
				t.Errorf("%s %s has the bits %b", a, w, bit)
			}
			all |= bit
			n++
		}
	}
	if n != 58 || all.Len() != n { // 20 + 8 + 16 + 14 words, contract §2.7
		t.Errorf("%d words, %d bits", n, all.Len())
	}
	if all.Has(settings.Of(settings.Secrets, "sign")) {
		t.Error("a word that is none is held by somebody")
	}
}

func policy(object string, secrets ...string) settings.Policy {
	return settings.Policy{TenantID: "t", ObjectID: object, Permissions: settings.Permissions{Secrets: secrets}}
}

func TestPolicyAllowsWhatItListsAndNothingElse(t *testing.T) {
	list, err := settings.Check([]settings.Policy{
		policy("Alice", "Get", "LIST", "get"),
		policy("bob", "all"),
		{ObjectID: "carol", ApplicationID: "App", Permissions: settings.Permissions{Keys: []string{"Sign"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(list[0].Permissions.Secrets, " "); got != "get list" {
		t.Errorf("kept as %q", got)
	}

	ps := settings.Compile(list)

	for _, c := range []struct {
		object, application, area, word string
		want                            bool
	}{
		{"alice", "", "secrets", "get", true},
		{"alice", "any", "secrets", "list", true},
		{"alice", "", "secrets", "set", false},
		{"alice", "", "keys", "get", false},
		{"bob", "", "secrets", "purge", true},
		{"bob", "", "certificates", "purge", false},
		{"carol", "app", "keys", "sign", true},
		{"carol", "other", "keys", "sign", false},
		{"carol", "", "keys", "sign", false},
		{"dave", "", "secrets", "get", false},
		{"", "", "secrets", "get", false},
	} {
		if got := ps.Allow(c.object, c.application, settings.Of(settings.Area(c.area), c.word)); got != c.want {
			t.Errorf("%s through %q for %s %s: %v, want %v", c.object, c.application, c.area, c.word, got, c.want)
		}
	}
}

func TestPoliciesAreAddedReplacedAndRemovedAsAzureDoes(t *testing.T) {
	have := []settings.Policy{policy("a", "get", "list"), policy("b", "set")}
	text := func(list []settings.Policy) string {
		var parts []string
		for _, p := range list {
			parts = append(parts, p.ObjectID+"="+strings.Join(p.Permissions.Secrets, ","))
		}
		return strings.Join(parts, " ")
	}
	for _, c := range []struct {
		name  string
		op    func(list, these []settings.Policy) ([]settings.Policy, error)
		these []settings.Policy
		want  string
	}{
		{"add", settings.Add, []settings.Policy{policy("A", "set"), policy("c", "get")}, "a=get,list,set b=set c=get"},
		{"replace", settings.Replace, []settings.Policy{policy("a", "set")}, "b=set a=set"},
		{"remove some", settings.Remove, []settings.Policy{policy("a", "list", "purge")}, "a=get b=set"},
		{"remove the last", settings.Remove, []settings.Policy{policy("b", "set")}, "a=get,list"},
		{"remove whole", settings.Remove, []settings.Policy{policy("a")}, "b=set"},
		{"remove a stranger", settings.Remove, []settings.Policy{policy("x")}, "a=get,list b=set"},
	} {
		got, err := c.op(have, c.these)
		if err != nil || text(got) != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, text(got), err, c.want)
		}
		if text(have) != "a=get,list b=set" {
			t.Fatalf("%s changed its argument: %q", c.name, text(have))
		}
	}
}

func TestWhatIsNoPolicyIsRefused(t *testing.T) {
	many := make([]settings.Policy, settings.MaxPolicies+1)
	for i := range many {
		many[i] = policy(fmt.Sprint("p", i), "get")
	}
	if _, err := settings.Check(many[:settings.MaxPolicies]); err != nil {
		t.Errorf("%d policies: %v", settings.MaxPolicies, err)
	}
	for name, list := range map[string][]settings.Policy{
		"too many":      many,
		"no object":     {policy("", "get")},
		"unknown word":  {policy("a", "sing")},
		"word of a key": {policy("a", "sign")},
		"twice":         {policy("a", "get"), policy("A", "set")},
		"long id":       {policy(strings.Repeat("a", 65), "get")},
	} {
		if _, err := settings.Check(list); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNetworkRulesShutOutAllOthers(t *testing.T) {
	for _, c := range []struct {
		name    string
		network settings.Network
		in, out []string
	}{
		{"nothing said", settings.Network{}, []string{"192.0.2.1", "2001:db8::1", "", "no address"}, nil},
		{"deny all", settings.Network{DefaultAction: "deny"}, nil, []string{"192.0.2.1", "127.0.0.1", "::1", "", "x"}},
		{
			"some", settings.Network{DefaultAction: "Deny", IPRules: []string{"192.0.2.1", "198.51.100.77/24", "2001:db8::/32", "::ffff:203.0.113.9"}},
			[]string{"192.0.2.1", "198.51.100.1", "2001:db8:1::2", "::ffff:192.0.2.1", "203.0.113.9"},
			[]string{"192.0.2.2", "198.51.101.1", "2001:db9::1", "", "192.0.2.1:80"},
		},
		{"rules beside allow", settings.Network{DefaultAction: "Allow", IPRules: []string{"192.0.2.1"}}, []string{"203.0.113.1"}, nil},
		{
			"private", settings.Network{Private: true, IPRules: []string{"192.0.2.1"}},
			[]string{"10.1.2.3", "127.0.0.1", "::1", "fd00::1", "192.168.0.9", "fe80::1%eth0"}, []string{"192.0.2.1", "2001:db8::1", ""},
		},
	} {
		n, err := c.network.Check()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f := n.Compile()
		for _, a := range c.in {
			if !f.Admits(a) {
				t.Errorf("%s: %q is shut out", c.name, a)
			}
		}
		for _, a := range c.out {
			if f.Admits(a) {
				t.Errorf("%s: %q comes in", c.name, a)
			}
		}
	}
	for _, text := range []string{"", "x", "10.0.0.0/33", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.1/8/8"} {
		if _, err := (settings.Network{IPRules: []string{text}}).Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("the rule %q: %v", text, err)
		}
	}
}

func TestNetworkRulesAreChangedOneByOne(t *testing.T) {
	have := settings.Network{DefaultAction: "Deny", Bypass: "None", IPRules: []string{"192.0.2.1/32", "10.0.0.0/8"}}
	deny := "allow"
	n, err := settings.NetworkChange{DefaultAction: &deny, AddIPRules: []string{"2001:db8::1"}, RemoveIPRules: []string{"10.9.9.9/8"}}.Apply(have)
	if err != nil || n.DefaultAction != "Allow" || n.Bypass != "None" || strings.Join(n.IPRules, " ") != "192.0.2.1/32 2001:db8::1/128" {
		t.Errorf("%+v, %v", n, err)
	}
	if len(have.IPRules) != 2 || have.IPRules[1] != "10.0.0.0/8" {
		t.Errorf("the argument was changed: %q", have.IPRules)
	}
	if _, err := (settings.NetworkChange{RemoveIPRules: []string{"x"}}).Apply(have); !fault.Is(err, fault.Invalid) {
		t.Errorf("taking away what is no rule: %v", err)
	}
}

func BenchmarkAllow(b *testing.B) {
	list := make([]settings.Policy, settings.MaxPolicies)
	for i := range list {
		list[i] = policy(fmt.Sprintf("00000000-0000-0000-0000-%012d", i), "get")
	}
	ps, need := settings.Compile(list), settings.Of(settings.Secrets, "get")
	for b.Loop() {
		if !ps.Allow("00000000-0000-0000-0000-000000000999", "", need) {
			b.Fatal("refused")
		}
	}
}
