package scan

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// flight reads what a server sends first, record by record: its hello and its
// certificates, in the clear up to TLS 1.2 and, where the handshake's secret is known, of
// TLS 1.3. It needs no parser of certificates, so it gets those too that no parser reads. Its
// work and memory are linear in what is fed.
type flight struct {
	// secret returns the server's handshake traffic secret of TLS 1.3, or nil.
	secret func() []byte

	version    uint16 // 0 until the hello is read
	suite      uint16
	chain      [][]byte
	incomplete bool // the chain ended in the middle
	clientAuth bool
	alert      int  // of a fatal alert, else -1
	done       bool // everything of interest is read
	notTLS     bool

	pending []byte // of handshake messages
	aead    cipher.AEAD
	iv      []byte
	seq     uint64
}

// maxFlight bounds what is read of one server's handshake: room for a certificate of
// ten thousand names, for which crypto/tls has none.
const maxFlight = 1<<20 + 64<<10

func newFlight() *flight { return &flight{alert: -1} }

// feedAll reads records from a recorded stream.
func (f *flight) feedAll(b []byte) {
	for len(b) >= 5 && !f.done {
		n := int(binary.BigEndian.Uint16(b[3:]))
		if !f.header(b[:5]) {
			break
		}
		body := b[5:min(len(b), 5+n)]
		f.feed(b[0], b[:5], body)
		b = b[5+len(body):]
	}
	f.finish()
}

// read reads records until enough is read, the flight ends, or maxFlight.
func (f *flight) read(r io.Reader, enough func(*flight) bool) error {
	defer f.finish()
	header := make([]byte, 5)
	for left := maxFlight; left > 0 && !f.done && f.version != tls13 && !enough(f); {
		if _, err := io.ReadFull(r, header); err != nil {
			return err
		}
		if !f.header(header) {
			return nil
		}
		body := make([]byte, binary.BigEndian.Uint16(header[3:]))
		n, err := io.ReadFull(r, body)
		f.feed(header[0], header, body[:n])
		if err != nil {
			return err
		}
		left -= 5 + n
	}
	return nil
}

// header reports whether five bytes begin a TLS record.
func (f *flight) header(h []byte) bool {
	n := binary.BigEndian.Uint16(h[3:])
	if h[0] < 20 || h[0] > 24 || h[1] != 3 || n > 16384+2048 {
		f.notTLS = f.version == 0
		f.done = true
		return false
	}
	return true
}

// feed reads one record.
func (f *flight) feed(kind byte, header, body []byte) {
	switch kind {
	case 21:
		if f.aead == nil && len(body) == 2 && body[0] == 2 {
			f.alert, f.done = int(body[1]), true
		}
	case 22:
		f.handshake(body)
	case 23:
		inner, content, err := f.open(header, body)
		if err != nil {
			f.done = true // not for our eyes
			return
		}
		if content == 22 {
			f.handshake(inner)
		}
	}
}

// handshake takes whole messages from what has arrived.
func (f *flight) handshake(b []byte) {
	f.pending = append(f.pending, b...)
	for !f.done && len(f.pending) >= 4 {
		n := 4 + int(f.pending[1])<<16 + int(binary.BigEndian.Uint16(f.pending[2:]))
		if len(f.pending) < n {
			return
		}
		message := f.pending[4:n]
		switch f.pending[0] {
		case 2:
			f.hello(message)
		case 11:
			f.certificates(message, false)
		case 13:
			f.clientAuth = true
		case 14, 15, 20: // ServerHelloDone, CertificateVerify, Finished
			f.done = true
		}
		f.pending = f.pending[n:]
	}
}

// finish takes what there is of a certificate message that never ended.
func (f *flight) finish() {
	if len(f.chain) == 0 && len(f.pending) > 4 && f.pending[0] == 11 {
		f.certificates(f.pending[4:], true)
	}
	f.pending = nil
}

// hello reads ServerHello (RFC 8446 section 4.1.3; before it RFC 5246 section 7.4.1.3).
func (f *flight) hello(b []byte) {
	if len(b) < 35 || len(b) < 38+int(b[34]) {
		f.done = true
		return
	}
	f.version = binary.BigEndian.Uint16(b)
	b = b[35+int(b[34]):]
	f.suite = binary.BigEndian.Uint16(b)
	if len(b) < 5 {
		return
	}
	for e := b[5:]; len(e) >= 4; {
		n := int(binary.BigEndian.Uint16(e[2:]))
		if len(e) < 4+n {
			return
		}
		if binary.BigEndian.Uint16(e) == 43 && n == 2 {
			f.version = binary.BigEndian.Uint16(e[4:])
		}
		e = e[4+n:]
	}
}

// certificates reads the certificate list of either form.
func (f *flight) certificates(b []byte, cut bool) {
	if f.version == tls13 {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return
		}
		b = b[1+int(b[0]):]
	}
	if len(b) < 3 {
		return
	}
	b = b[3:] // the length of the list, which the message's own length repeats
	f.incomplete = cut
	for len(b) >= 3 {
		n := 3 + int(b[0])<<16 + int(binary.BigEndian.Uint16(b[1:]))
		if len(b) < n {
			f.incomplete = true
			return
		}
		if n > 3 {
			f.chain = append(f.chain, append([]byte(nil), b[3:n]...))
		}
		b = b[n:]
		if f.version != tls13 {
			continue
		}
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			return
		}
		b = b[2+int(binary.BigEndian.Uint16(b)):]
	}
}

var errNoSecret = errors.New("the secret of this connection is unknown")

// open decrypts a record of TLS 1.3 (RFC 8446 section 5.2).
func (f *flight) open(header, body []byte) (inner []byte, content byte, err error) {
	if f.aead == nil {
		if err := f.keys(); err != nil {
			return nil, 0, err
		}
	}
	nonce := append([]byte(nil), f.iv...)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(f.seq >> (8 * i))
	}
	f.seq++
	inner, err = f.aead.Open(nil, nonce, body, header)
	if err != nil {
		return nil, 0, err
	}
	for len(inner) > 0 && inner[len(inner)-1] == 0 {
		inner = inner[:len(inner)-1]
	}
	if len(inner) == 0 {
		return nil, 0, nil
	}
	return inner[:len(inner)-1], inner[len(inner)-1], nil
}

// keys derives key and initialisation vector (RFC 8446 section 7.3).
func (f *flight) keys() error {
	var secret []byte
	if f.secret != nil {
		secret = f.secret()
	}
	if secret == nil || f.version != tls13 {
		return errNoSecret
	}
	h, size := sha256.New, 16
	switch f.suite {
	case 0x1302:
		h, size = sha512.New384, 32
	case 0x1303:
		size = chacha20poly1305.KeySize
	}
	key, err := expand(h, secret, "key", size)
	if err != nil {
		return err
	}
	if f.iv, err = expand(h, secret, "iv", 12); err != nil {
		return err
	}
	if f.suite == 0x1303 {
		f.aead, err = chacha20poly1305.New(key)
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	f.aead, err = cipher.NewGCM(block)
	return err
}

// expand is HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context.
func expand(h func() hash.Hash, secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := fmt.Sprintf("%c%c%c%s%c", n>>8, n, len(label), label, 0)
	return hkdf.Expand(h, secret, info, n)
}
