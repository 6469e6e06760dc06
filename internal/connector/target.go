package connector

import "context"

// Target is where certificates are installed. A deployment runs the stages in this
// order: Prepare, Install, Activate, Verify, Finish; when Install, Activate or Verify
// fails, RollBack. Every stage is idempotent for one Deployment.ID, because the product
// may be killed after the stage has worked and before it was noted.
type Target interface {
	Checker
	// Prepare tells whether the deployment could work: the place is allowed, reachable and
	// writable, and the bundle has what the place wants. It changes nothing. fault.Invalid
	// means that it will never work like this.
	Prepare(ctx context.Context, d Deployment) error
	// Install puts the bundle in place and keeps what was there before, on the other side
	// and under d.ID, for RollBack. After an error nothing or everything may be in place.
	Install(ctx context.Context, d Deployment) error
	// Activate makes the other side use what was installed: bind, commit, reload.
	Activate(ctx context.Context, d Deployment) error
	// Verify asks the other side whether it holds exactly d.Certificate. What is served to
	// clients is checked apart, by a handshake.
	Verify(ctx context.Context, d Deployment) error
	// RollBack puts back and activates what was there before Install. Where Install never
	// began, or Finish has ended it, it changes nothing. It needs d.ID and d.Place alone, so
	// that it works when the vault that keeps the key is away.
	RollBack(ctx context.Context, d Deployment) error
	// Finish drops what was kept for RollBack. The new certificate stays. It needs d.ID and
	// d.Place alone.
	Finish(ctx context.Context, d Deployment) error
}

// Deployment is one certificate on its way to one place.
type Deployment struct {
	ID    string   // stable over retries; letters, digits and dashes
	Place Settings // where on the target, in the words of the definition's Place struct
	Bundle
}

// Bundle is a certificate with its chain and key.
type Bundle struct {
	Certificate []byte   // DER
	Chain       [][]byte // DER, the issuer first, without the root
	Key         Secret   // PKCS #8 DER; empty when the key may not leave its store
}
