package directory

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
)

// Cost of Argon2id: 46 MiB and one pass, OWASP's first choice; about 40 ms.
const (
	argonMemory  = 46 * 1024 // KiB
	argonPasses  = 1
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// Bounds of a password in bytes. The upper one keeps hashing cheap to refuse.
const (
	minPassword = 12
	maxPassword = 256
)

// passwords hashes and checks passwords, only so many at a time: each takes 46 MiB, and
// anybody may ask for one.
type passwords struct {
	slots chan struct{}
	decoy string // checked when there is no such user, so that the answer takes as long
}

func newPasswords() *passwords {
	return &passwords{slots: make(chan struct{}, 4), decoy: phc(random(argonSalt), random(argonKey))}
}

// hash returns the PHC string of a new password.
func (p *passwords) hash(ctx context.Context, password access.Secret) (string, error) {
	if n := len(password.Reveal()); n < minPassword || n > maxPassword {
		return "", fault.New(fault.Invalid, "WeakPassword", "a password has %d to %d bytes; choose another", minPassword, maxPassword)
	}
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	return hashPassword(password), nil
}

// verify reports whether the password belongs to the PHC string. An empty string stands
// for a user who has none or does not exist, and takes the same time.
func (p *passwords) verify(ctx context.Context, phc string, password access.Secret) (bool, error) {
	if len(password.Reveal()) > maxPassword {
		return false, nil
	}
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	known := phc != ""
	if !known {
		phc = p.decoy
	}
	same, err := samePassword(phc, password)
	return same && known, err
}

func (p *passwords) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Limited, "TooManySignIns", "too many people sign in at this moment; try again")
	}
}

func (p *passwords) leave() { <-p.slots }

// hashPassword returns "$argon2id$v=19$m=…,t=…,p=…$salt$key", so that the cost can grow
// later and old hashes still check.
func hashPassword(password access.Secret) string {
	salt := random(argonSalt)
	return phc(salt, argon2.IDKey([]byte(password.Reveal()), salt, argonPasses, argonMemory, argonThreads, argonKey))
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}

// phc is the text of a hash, in the form of the Password Hashing Competition.
func phc(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

func samePassword(phc string, password access.Secret) (bool, error) {
	parts := strings.Split(phc, "$")
	var version int
	var memory, passes uint32
	var threads uint8
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("stored password hash is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, fmt.Errorf("stored password hash: version %q", parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return false, fmt.Errorf("stored password hash: cost %q: %w", parts[3], err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("stored password hash: salt: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 {
		return false, fmt.Errorf("stored password hash: key has %d bytes", len(want))
	}
	got := argon2.IDKey([]byte(password.Reveal()), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
