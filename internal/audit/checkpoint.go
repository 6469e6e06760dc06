package audit

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Signer signs checkpoints as signed notes (C2SP signed-note, tlog-checkpoint's three
// lines: origin, number of records, hash of the newest), which other tools can verify.
type Signer struct {
	name   string
	key    ed25519.PrivateKey
	public ed25519.PublicKey
}

// NewSigner makes the signer of an origin, such as "chatelaine/5f0c…/audit". The origin
// must not contain spaces or pluses.
func NewSigner(origin string, seed []byte) (*Signer, error) {
	if len(seed) != ed25519.SeedSize || origin == "" || strings.ContainsAny(origin, " +\n") {
		return nil, errors.New("audit signer: want a 32-byte seed and an origin without spaces")
	}
	key := ed25519.NewKeyFromSeed(seed)
	return &Signer{name: origin, key: key, public: key.Public().(ed25519.PublicKey)}, nil
}

// noteSigner makes a Signer a note.Signer and a note.Verifier.
type noteSigner struct{ s *Signer }

func (n noteSigner) Name() string    { return n.s.name }
func (n noteSigner) KeyHash() uint32 { return keyHash(n.s.name, n.s.public) }
func (n noteSigner) Sign(msg []byte) ([]byte, error) {
	return n.s.key.Sign(nil, msg, crypto.Hash(0))
}
func (n noteSigner) Verify(msg, sig []byte) bool { return ed25519.Verify(n.s.public, msg, sig) }

// keyHash is the key id of signed notes with algorithm 1, Ed25519.
func keyHash(name string, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n\x01"))
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// Sign makes the note of a head.
func (s *Signer) Sign(h Head) ([]byte, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", s.name, h.Sequence, base64.StdEncoding.EncodeToString(h.Hash[:]))
	return note.Sign(&note.Note{Text: text}, noteSigner{s})
}

// Open verifies a note and returns the head that it vouches for.
func (s *Signer) Open(msg []byte) (Head, error) {
	n, err := note.Open(msg, note.VerifierList(noteSigner{s}))
	if err != nil {
		return Head{}, err
	}
	lines := bytes.Split([]byte(n.Text), []byte("\n"))
	if len(lines) != 4 || string(lines[0]) != s.name {
		return Head{}, errors.New("not a checkpoint of this trail")
	}
	seq, err := strconv.ParseInt(string(lines[1]), 10, 64)
	if err != nil {
		return Head{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(string(lines[2]))
	if err != nil || len(hash) != sha256.Size {
		return Head{}, errors.New("checkpoint: bad hash")
	}
	return Head{Sequence: seq, Hash: [sha256.Size]byte(hash)}, nil
}
