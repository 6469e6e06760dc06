package certificates

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates/policy"
)

// policy is GET /certificates/{name}/policy: CertificatePolicy.
func (d door) policy(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := d.s.Policy(ctx, q.Caller, q.Ref())
	return answerPolicy(q, p, err)
}

// updatePolicy is PATCH /certificates/{name}/policy: the sections of CertificatePolicy to
// replace, to the whole.
func (d door) updatePolicy(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in policy.Policy
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	p, err := d.s.UpdatePolicy(ctx, q.Caller, q.Ref(), in)
	return answerPolicy(q, p, err)
}

func answerPolicy(q *wire.Request, p policy.Policy, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: describePolicy(q, q.Name, p)}, nil
}
