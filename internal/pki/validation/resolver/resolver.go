// Package resolver asks one recursive resolver for records that prove or forbid something:
// TXT and CAA. Unlike the standard library's it knows CAA, searches no other domains, and
// tells a name that does not exist from a resolver that does not answer.
package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// typeCAA is the number of CAA records (RFC 8659 section 4.1).
const typeCAA dnsmessage.Type = 257

const (
	tries     = 2               // per question, each with its own packet
	patience  = 4 * time.Second // per try
	maxAnswer = 64 << 10
	payload   = 1232 // of UDP: what passes every network unfragmented (dnsflagday.net/2020)
)

// Record is a CAA property.
type Record struct {
	Critical   bool
	Tag, Value string
}

// Config is what a Resolver needs.
type Config struct {
	// Servers are asked in turn, host:port. The first is the first try.
	Servers []string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// Resolver is safe for concurrent use.
type Resolver struct{ c Config }

// New makes a Resolver, or says that it has nobody to ask.
func New(c Config) (*Resolver, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("no resolver is configured, and this machine names none")
	}
	return &Resolver{c}, nil
}

// TXT returns the texts of a name, each record's strings joined. A name without any is no
// error.
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, error) {
	var texts []string
	err := r.ask(ctx, name, dnsmessage.TypeTXT, func(b dnsmessage.ResourceBody) error {
		if t, ok := b.(*dnsmessage.TXTResource); ok {
			texts = append(texts, strings.Join(t.TXT, ""))
		}
		return nil
	})
	return texts, err
}

// CAA returns the CAA records of exactly this name, or of the one that it is an alias of.
func (r *Resolver) CAA(ctx context.Context, name string) ([]Record, error) {
	var records []Record
	err := r.ask(ctx, name, typeCAA, func(b dnsmessage.ResourceBody) error {
		u, ok := b.(*dnsmessage.UnknownResource)
		if !ok {
			return nil
		}
		if len(u.Data) < 2 || int(u.Data[1]) == 0 || len(u.Data) < 2+int(u.Data[1]) {
			return errors.New("a CAA record is cut off")
		}
		n := 2 + int(u.Data[1])
		records = append(records, Record{Critical: u.Data[0]&0x80 != 0, Tag: strings.ToLower(string(u.Data[2:n])), Value: string(u.Data[n:])})
		return nil
	})
	return records, err
}

// ask gives each record of the type in the answer to keep.
func (r *Resolver) ask(ctx context.Context, name string, t dnsmessage.Type, keep func(dnsmessage.ResourceBody) error) error {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return fmt.Errorf("look up %s: not a name that the DNS can hold", name)
	}
	q := dnsmessage.Question{Name: n, Type: t, Class: dnsmessage.ClassINET}
	for i := range tries {
		var answer dnsmessage.Message
		if answer, err = r.exchange(ctx, r.c.Servers[i%len(r.c.Servers)], q); err == nil {
			return read(answer, t, keep)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("look up %s: %w", name, err)
}

func read(answer dnsmessage.Message, t dnsmessage.Type, keep func(dnsmessage.ResourceBody) error) error {
	for _, a := range answer.Answers {
		if a.Header.Type != t || a.Header.Class != dnsmessage.ClassINET {
			continue // the aliases on the way
		}
		if err := keep(a.Body); err != nil {
			return fmt.Errorf("look up %s: %w", a.Header.Name, err)
		}
	}
	return nil
}

// exchange asks by UDP, and by TCP when the answer does not fit.
func (r *Resolver) exchange(ctx context.Context, server string, q dnsmessage.Question) (dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := r.over(ctx, "udp", server, q)
	if err == nil && m.Truncated {
		m, err = r.over(ctx, "tcp", server, q)
	}
	if err != nil {
		return m, err
	}
	if m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError {
		return m, fmt.Errorf("the resolver answers %s", strings.TrimPrefix(m.RCode.String(), "RCode"))
	}
	return m, nil
}

func (r *Resolver) over(ctx context.Context, network, server string, q dnsmessage.Question) (m dnsmessage.Message, err error) {
	id, packed, err := question(q)
	if err != nil {
		return m, err
	}
	c, err := r.c.Dial(ctx, network, server)
	if err != nil {
		return m, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // ends a read that waits
	defer stop()
	if network == "tcp" {
		packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	}
	if _, err := c.Write(packed); err != nil {
		return m, err
	}
	for {
		b, err := receive(c, network)
		if err != nil {
			return m, err
		}
		// An answer to another question is somebody else's guess: the right one may follow.
		if m, ok := parse(b, id, q); ok {
			return m, nil
		}
		if network == "tcp" {
			return m, errors.New("the resolver's answer is not readable")
		}
	}
}

// question packs a question with a random id, and asks for room (EDNS, RFC 6891).
func question(q dnsmessage.Question) (id uint16, packed []byte, err error) {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id = binary.BigEndian.Uint16(random[:])
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(payload, dnsmessage.RCodeSuccess, false); err != nil {
		return 0, nil, err
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{q},
		Additionals: []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}},
	}
	packed, err = m.Pack()
	return id, packed, err
}

func receive(c net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		b := make([]byte, maxAnswer)
		n, err := c.Read(b)
		return b[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

// parse reports whether the packet answers this question.
func parse(b []byte, id uint16, q dnsmessage.Question) (m dnsmessage.Message, ok bool) {
	if err := m.Unpack(b); err != nil || m.ID != id || !m.Response || len(m.Questions) != 1 {
		return m, false
	}
	got := m.Questions[0]
	return m, got.Type == q.Type && got.Class == q.Class && strings.EqualFold(got.Name.String(), q.Name.String())
}
