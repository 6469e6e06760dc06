package scan

import (
	"crypto/rand"
	"encoding/binary"
)

// Versions of TLS as they are on the wire.
const (
	tls10 = 0x0301
	tls11 = 0x0302
	tls12 = 0x0303
	tls13 = 0x0304
)

func versionName(v uint16) string {
	switch v {
	case 0x0300:
		return "SSL 3.0"
	case tls10:
		return "TLS 1.0"
	case tls11:
		return "TLS 1.1"
	case tls12:
		return "TLS 1.2"
	case tls13:
		return "TLS 1.3"
	}
	return ""
}

// oldSuites are what servers choose from that crypto/tls cannot talk to: ephemeral
// Diffie-Hellman over integers, DSA, Camellia, SEED, IDEA, single DES, ARIA. The
// handshake is never finished, so their weakness harms nobody.
func oldSuites() []uint16 {
	return []uint16{
		0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027, 0xc024, 0xc028, 0xc008, 0xc012, 0xc007, 0xc011,
		0x009c, 0x009d, 0x002f, 0x0035, 0x003c, 0x003d, 0x000a, 0x0005, 0x0004, 0x0007, 0x0009, 0x0041, 0x0084, 0x0096,
		0x009e, 0x009f, 0xccaa, 0x0033, 0x0039, 0x0067, 0x006b, 0x0016, 0x0015, 0x0045, 0x0088, 0x009a,
		0x00a2, 0x00a3, 0x0032, 0x0038, 0x0040, 0x006a, 0x0013, 0x0012, 0x0044, 0x0087, 0x0099,
		0xc0ac, 0xc0ad, 0xc09c, 0xc09d, 0xc09e, 0xc09f, 0xc050, 0xc051, 0xc05c, 0xc05d, 0xc060, 0xc061, 0xc052, 0xc053,
		0xc072, 0xc073, 0xc076, 0xc077, 0x00be, 0x00c0, 0x0001, 0x0002, 0x003b, 0x0003, 0x0008, 0x0014, 0x0011,
	}
}

// clientHello is a hello that offers one version, with a name if there is one. No key
// agreement follows it, so its random values are of no consequence.
func clientHello(version uint16, name string) []byte {
	var random [64]byte
	_, _ = rand.Read(random[:]) // never fails
	suites := oldSuites()
	if version == tls13 {
		suites = []uint16{0x1301, 0x1302, 0x1303}
	}
	var body writer
	body.u16(min(version, tls12))
	body.bytes(random[:32])
	if version == tls13 {
		body.vector8(random[32:])
	} else {
		body.vector8(nil)
	}
	body.vector16(func(w *writer) {
		for _, s := range suites {
			w.u16(s)
		}
		w.u16(0x00ff) // secure renegotiation (RFC 5746)
	})
	body.vector8([]byte{0}) // no compression
	body.vector16(func(w *writer) { extensions(w, version, name) })

	var record writer
	record.u8(22)
	record.u16(tls10)
	record.vector16(func(w *writer) {
		w.u8(1)
		w.u8(0)
		w.u16(uint16(len(body)))
		w.bytes(body)
	})
	return record
}

func extensions(w *writer, version uint16, name string) {
	add := func(id uint16, content func(w *writer)) {
		w.u16(id)
		w.vector16(content)
	}
	if name != "" {
		add(0, func(w *writer) { // server_name
			w.vector16(func(w *writer) {
				w.u8(0)
				w.vector16(func(w *writer) { w.bytes([]byte(name)) })
			})
		})
	}
	add(10, func(w *writer) { // supported_groups
		w.vector16(func(w *writer) {
			for _, g := range []uint16{0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x11ec, 0x11eb, 0x11ed, 0x0100, 0x0101} {
				w.u16(g)
			}
		})
	})
	add(11, func(w *writer) { w.vector8([]byte{0}) }) // ec_point_formats
	if version >= tls12 {
		add(13, func(w *writer) { // signature_algorithms, the old ones too
			w.vector16(func(w *writer) {
				for _, s := range []uint16{0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0807, 0x0808,
					0x0904, 0x0905, 0x0906, 0x0401, 0x0501, 0x0601, 0x0402, 0x0303, 0x0301, 0x0203, 0x0201, 0x0202, 0x0101} {
					w.u16(s)
				}
			})
		})
	}
	if version == tls13 {
		add(43, func(w *writer) { w.vector8([]byte{tls13 >> 8, tls13 & 0xff}) }) // supported_versions
		add(51, func(w *writer) {                                                // key_share: any 32 bytes are a point of X25519
			w.vector16(func(w *writer) {
				w.u16(0x001d)
				w.vector16(func(w *writer) {
					var point [32]byte
					_, _ = rand.Read(point[:]) // never fails
					w.bytes(point[:])
				})
			})
		})
	}
}

// writer builds TLS structures.
type writer []byte

func (w *writer) u8(v uint8)     { *w = append(*w, v) }
func (w *writer) u16(v uint16)   { *w = binary.BigEndian.AppendUint16(*w, v) }
func (w *writer) bytes(b []byte) { *w = append(*w, b...) }

func (w *writer) vector8(b []byte) {
	w.u8(uint8(len(b)))
	w.bytes(b)
}

// vector16 writes what content writes, with its length before it.
func (w *writer) vector16(content func(w *writer)) {
	var inner writer
	content(&inner)
	w.u16(uint16(len(inner)))
	w.bytes(inner)
}
