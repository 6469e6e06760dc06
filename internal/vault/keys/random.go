package keys

import (
	"context"
	"crypto/rand"
	"strconv"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

const randomBytes object.Operation = "GetRandomBytes"

// maxRandom is the most that one request gets (contract §2.2).
const maxRandom = 128

// RandomBytes returns bytes that nobody can foresee. Azure has it for managed HSMs alone;
// here a vault has it too, for those who may read its keys.
func (s *Service) RandomBytes(ctx context.Context, c access.Caller, vault string, count int) (value []byte, err error) {
	r := object.Ref{Vault: vault}
	err = s.Call(ctx, c, randomBytes, r, func(*object.Vault) error {
		if count < 1 || count > maxRandom {
			return fault.New(fault.Invalid, "BadParameter", "GetRandomBytesRequest: count cannot be greater than %d or less than 1", maxRandom)
		}
		value = make([]byte, count)
		_, _ = rand.Read(value) // never fails
		return s.Done(ctx, c, randomBytes, r, map[audit.Field]string{audit.Count: strconv.Itoa(count)})
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}
