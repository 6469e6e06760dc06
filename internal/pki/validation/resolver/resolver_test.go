package resolver_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"chatelaine.dev/internal/pki/validation/resolver"
)

// nameserver answers each packet with what reply makes of it, by UDP and TCP.
func nameserver(t *testing.T, reply func(q dnsmessage.Message, tcp bool) [][]byte) *resolver.Resolver {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := lc.ListenPacket(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		_ = c.Close()
	})
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(b[:n]) == nil {
				for _, packet := range reply(q, false) {
					_, _ = c.WriteTo(packet, from)
				}
			}
		}
	}()
	go func() {
		for {
			x, err := l.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			_, _ = io.ReadFull(x, size[:])
			b := make([]byte, binary.BigEndian.Uint16(size[:]))
			_, _ = io.ReadFull(x, b)
			var q dnsmessage.Message
			if q.Unpack(b) == nil {
				for _, packet := range reply(q, true) {
					_, _ = x.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
				}
			}
			_ = x.Close()
		}
	}()
	var d net.Dialer
	r, err := resolver.New(resolver.Config{Servers: []string{l.Addr().String()}, Dial: d.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pack(t *testing.T, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

func answer(q dnsmessage.Message, bodies ...dnsmessage.ResourceBody) dnsmessage.Message {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions}
	for _, b := range bodies {
		h := dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: q.Questions[0].Type, Class: dnsmessage.ClassINET}
		if _, alias := b.(*dnsmessage.CNAMEResource); alias {
			h.Type = dnsmessage.TypeCNAME
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: b})
	}
	return m
}

func caaData(flags byte, tag, value string) *dnsmessage.UnknownResource {
	return &dnsmessage.UnknownResource{Type: 257, Data: append([]byte{flags, byte(len(tag))}, tag+value...)}
}

func TestRecordsComeThroughAliasesAndTCP(t *testing.T) {
	t.Parallel()
	var tcp atomic.Bool
	r := nameserver(t, func(q dnsmessage.Message, overTCP bool) [][]byte {
		name := q.Questions[0].Name.String()
		switch {
		case strings.HasPrefix(name, "absent."):
			m := answer(q)
			m.RCode = dnsmessage.RCodeNameError
			return [][]byte{pack(t, m)}
		case !overTCP && strings.HasPrefix(name, "long."):
			m := answer(q)
			m.Truncated = true
			return [][]byte{pack(t, m)}
		}
		tcp.Store(tcp.Load() || overTCP)
		alias := &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("elsewhere.example.")}
		if q.Questions[0].Type == dnsmessage.TypeTXT {
			return [][]byte{pack(t, answer(q, alias, &dnsmessage.TXTResource{TXT: []string{"two ", "halves"}}, &dnsmessage.TXTResource{TXT: []string{"another"}}))}
		}
		return [][]byte{pack(t, answer(q, alias, caaData(0x80, "Issue", "ca.example")))}
	})

	texts, err := r.TXT(t.Context(), "long.example.com")
	if d := cmp.Diff([]string{"two halves", "another"}, texts); d != "" || err != nil || !tcp.Load() {
		t.Errorf("%v, by TCP %v: %s", err, tcp.Load(), d)
	}
	records, err := r.CAA(t.Context(), "example.com.")
	if d := cmp.Diff([]resolver.Record{{Critical: true, Tag: "issue", Value: "ca.example"}}, records); d != "" || err != nil {
		t.Errorf("%v: %s", err, d)
	}
	if texts, err := r.TXT(t.Context(), "absent.example.com"); err != nil || len(texts) > 0 {
		t.Errorf("a name that does not exist: %q, %v", texts, err)
	}
}

func TestForgedAnswersAreNotTaken(t *testing.T) {
	t.Parallel()
	r := nameserver(t, func(q dnsmessage.Message, _ bool) [][]byte {
		forged := &dnsmessage.TXTResource{TXT: []string{"forged"}}
		otherID, otherName, otherType, noAnswer := answer(q, forged), answer(q, forged), answer(q, forged), answer(q, forged)
		otherID.ID++
		otherName.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("b.example."), Type: q.Questions[0].Type, Class: dnsmessage.ClassINET}}
		otherType.Questions = []dnsmessage.Question{{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
		noAnswer.Response = false
		return [][]byte{{1, 2, 3}, pack(t, otherID), pack(t, otherName), pack(t, otherType), pack(t, noAnswer), pack(t, answer(q, &dnsmessage.TXTResource{TXT: []string{"true"}}))}
	})

	texts, err := r.TXT(t.Context(), "a.example")

	if d := cmp.Diff([]string{"true"}, texts); d != "" || err != nil {
		t.Errorf("%v: %s", err, d)
	}
}

// No answer is not "no records": for CAA it forbids.
func TestAnErrorOfTheResolverIsNoEmptyAnswer(t *testing.T) {
	t.Parallel()
	for _, code := range []dnsmessage.RCode{dnsmessage.RCodeServerFailure, dnsmessage.RCodeRefused, dnsmessage.RCodeFormatError, dnsmessage.RCodeNotImplemented} {
		r := nameserver(t, func(q dnsmessage.Message, _ bool) [][]byte {
			m := answer(q)
			m.RCode = code
			return [][]byte{pack(t, m)}
		})
		if records, err := r.CAA(t.Context(), "example.com"); err == nil {
			t.Errorf("%v: %v", code, records)
		}
	}
	for _, data := range [][]byte{{}, {0}, {0, 0}, {0, 9, 'i'}} {
		r := nameserver(t, func(q dnsmessage.Message, _ bool) [][]byte {
			return [][]byte{pack(t, answer(q, &dnsmessage.UnknownResource{Type: 257, Data: data}))}
		})
		if records, err := r.CAA(t.Context(), "example.com"); err == nil {
			t.Errorf("a record of %v: %v", data, records)
		}
	}
	if _, err := (&resolver.Resolver{}).TXT(context.Background(), strings.Repeat("a.", 200)); err == nil {
		t.Error("a name that is too long is looked up")
	}
}
