package scan

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"
)

// record is a TLS record around a body.
func record(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(body))), body...)
}

// message is a handshake message that claims a length of its own.
func message(kind byte, claimed int, body []byte) []byte {
	return append([]byte{kind, byte(claimed >> 16), byte(claimed >> 8), byte(claimed)}, body...)
}

// serverHello answers with TLS 1.2 and ECDHE-RSA-AES128-GCM.
func serverHello() []byte {
	b := append([]byte{3, 3}, make([]byte, 32)...)
	b = append(b, 0, 0xc0, 0x2f, 0, 0, 0)
	return record(22, message(2, len(b), b))
}

func certificateMessage(ders ...[]byte) []byte {
	var list []byte
	for _, der := range ders {
		list = append(list, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
		list = append(list, der...)
	}
	list = append([]byte{byte(len(list) >> 16), byte(len(list) >> 8), byte(len(list))}, list...)
	return message(11, len(list), list)
}

// inRecords cuts a stream of messages into records.
func inRecords(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := min(len(b), 16384)
		out = append(out, record(22, b[:n])...)
		b = b[n:]
	}
	return out
}

// forever writes until the other side has had enough.
func forever(c net.Conn, b []byte) {
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// Nothing that a peer does costs more than the time and the memory that one probe may have.
func TestHostilePeersCostLittle(t *testing.T) {
	noise := make([]byte, 1<<16)
	rand.Read(noise)
	big1 := certificateMessage(append([]byte{0x30, 0x84, 0, 0x0f, 0xff, 0xfa}, make([]byte, 1<<20-6)...))
	hello := func(c net.Conn) { io.ReadFull(c, make([]byte, 64)) }
	leaf := chain(t).Certificate[0]
	crowd := make([][]byte, 4000)
	for i := range crowd {
		crowd[i] = leaf
	}
	crowded := inRecords(certificateMessage(crowd...))
	whole, large := inRecords(big1), inRecords(certificateMessage(append([]byte{0x30, 0x84, 0, 0x1f, 0xff, 0xfa}, make([]byte, 2<<20-6)...)))
	for name, c := range map[string]struct {
		serve func(c net.Conn)
		found int // certificates; -1: it does not matter
	}{
		"says nothing":            {func(c net.Conn) { io.Copy(io.Discard, c) }, 0},
		"resets":                  {func(c net.Conn) { hello(c); c.(*net.TCPConn).SetLinger(0) }, 0},
		"hangs up":                {func(c net.Conn) {}, 0},
		"random bytes":            {func(c net.Conn) { c.Write(noise) }, 0},
		"random bytes for ever":   {func(c net.Conn) { forever(c, noise) }, 0},
		"one byte at a time":      {func(c net.Conn) { hello(c); forever(c, []byte{22}) }, 0},
		"empty records for ever":  {func(c net.Conn) { hello(c); forever(c, record(22, nil)) }, 0},
		"warnings for ever":       {func(c net.Conn) { hello(c); forever(c, record(21, []byte{1, 90})) }, 0},
		"hello requests for ever": {func(c net.Conn) { hello(c); forever(c, record(22, message(0, 0, nil))) }, 0},
		"a record of 65535 bytes": {func(c net.Conn) { hello(c); c.Write([]byte{22, 3, 3, 0xff, 0xff}); forever(c, noise) }, 0},
		"a message of 16 MB": {func(c net.Conn) {
			hello(c)
			c.Write(serverHello())
			c.Write(record(22, message(11, 1<<24-1, noise[:16000])))
			forever(c, record(22, noise[:16384]))
		}, -1},
		"a drip": {func(c net.Conn) {
			hello(c)
			for _, b := range whole {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond) // the peer is slow on purpose; the probe's own limit ends it
			}
		}, 0},
		"a certificate of 1 MB": {func(c net.Conn) {
			hello(c)
			c.Write(serverHello())
			c.Write(whole)
			c.Write(record(22, message(14, 0, nil)))
			io.Copy(io.Discard, c)
		}, 1},
		"a certificate of 2 MB": {func(c net.Conn) { hello(c); c.Write(serverHello()); c.Write(large); io.Copy(io.Discard, c) }, 0},
		"a chain of 1 MB": {func(c net.Conn) {
			hello(c)
			c.Write(serverHello())
			c.Write(crowded)
			io.Copy(io.Discard, c)
		}, -2},
		"two certificates, cut in the second": {func(c net.Conn) {
			hello(c)
			c.Write(serverHello())
			m := certificateMessage(leaf, leaf)
			c.Write(record(22, m[:len(m)-10]))
		}, 1},
		"ten thousand names": {nil, 1},
		"a 32,768-bit key":   {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			serve := c.serve
			switch name {
			case "ten thousand names":
				serve = served(t, func(x *certificateParts) {
					for range 10000 {
						x.names = append(x.names, "a-rather-long-name.of-a-host.example")
					}
				})
			case "a 32,768-bit key":
				serve = served(t, func(x *certificateParts) {
					x.modulus = new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), 32767), 0, 1)
				})
			}
			at, _ := listen(t, serve)
			s := New(Config{Timeout: 400 * time.Millisecond, ConnectTimeout: 200 * time.Millisecond, Versions: true, Resolve: quick(false).c.Resolve})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()

			r := look(t, s, at)

			took := time.Since(began)
			runtime.ReadMemStats(&after)
			switch {
			case c.found >= 0 && len(r.Chain) != c.found, c.found == -2 && (len(r.Chain) < 10 || !bytes.Equal(r.Chain[0], leaf) || !r.Incomplete):
				t.Errorf("%d certificates, %s: %s", len(r.Chain), r.Outcome, r.Problem)
			case (r.Outcome == Found) != (len(r.Chain) > 0):
				t.Errorf("%s with a chain of %d", r.Outcome, len(r.Chain))
			}
			if took > 5*time.Second {
				t.Errorf("took %s with a limit of 400 ms", took)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 24<<20 { // the peer's own buffers included
				t.Errorf("allocated %d MiB", spent>>20)
			}
		})
	}
}

// The reader of flights sees what crypto/tls sees, in every version.
func TestFlightAgreesWithTheStandardClient(t *testing.T) {
	for _, v := range []uint16{tls10, tls11, tls12, tls13} {
		for _, clientAuth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert} {
			cert := chain(t)
			at := tlsServer(t, &tls.Config{MinVersion: v, MaxVersion: v, CipherSuites: allSuites(), Certificates: []tls.Certificate{cert}, ClientAuth: clientAuth})
			conn, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			recorded := &recorder{Conn: conn}
			var log bytes.Buffer
			c := tls.Client(recorded, &tls.Config{InsecureSkipVerify: true, MinVersion: tls10, CipherSuites: allSuites(), KeyLogWriter: &log})
			if err := c.HandshakeContext(context.Background()); err != nil {
				t.Fatal(err)
			}
			conn.Close()

			f := newFlight()
			f.secret = func() []byte { return handshakeSecret(log.Bytes()) }
			f.feedAll(recorded.b.Bytes())

			state := c.ConnectionState()
			if f.version != state.Version || f.suite != state.CipherSuite || !sameChain(f.chain, cert.Certificate) || f.clientAuth != (clientAuth != tls.NoClientCert) || f.incomplete {
				t.Errorf("%s: version %x, suite %x, chain of %d, client auth %t", versionName(v), f.version, f.suite, len(f.chain), f.clientAuth)
			}
			for i := range recorded.b.Len() { // every prefix is read without harm
				f := newFlight()
				f.secret = func() []byte { return handshakeSecret(log.Bytes()) }
				f.feedAll(recorded.b.Bytes()[:i])
			}
		}
	}
}

func FuzzFlight(f *testing.F) {
	leaf := chain(f).Certificate[0]
	f.Add(serverHello())
	f.Add(append(serverHello(), inRecords(certificateMessage(leaf, leaf))...))
	f.Add(record(21, []byte{2, 40}))
	f.Add(record(23, make([]byte, 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := newFlight()
		x.secret = func() []byte { return make([]byte, 32) }
		x.feedAll(b)
		total := 0
		for _, der := range x.chain {
			total += len(der)
		}
		if total > len(b) {
			t.Errorf("%d bytes of certificates in %d bytes", total, len(b))
		}
		y := newFlight()
		if err := y.read(bytes.NewReader(b), func(*flight) bool { return false }); err == nil && !y.done && y.version != tls13 && len(b) < maxFlight {
			t.Error("ended without a reason")
		}
	})
}
